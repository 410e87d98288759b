"""Memory of quantized uploads: what a check of the headers says is what the loaded model takes."""

import re
from functools import cache

import pytest
import torch

from model.checkpoint.load import check_checkpoint, load_transformer
from model.config import FewBits
from model.machine.budget import weight_bytes
from model.network.tensor_parallel import TensorParallel
from tests.model.checkpoint.lora_adapter import write_old
from tests.model.checkpoint.quantized import packed_weights
from tests.model.checkpoint.quantized.compressed import compressed, entry
from tests.model.checkpoint.quantized.large_upload import write_large
from tests.model.checkpoint.quantized.quantized_upload import write_upload
from tests.model.checkpoint.quantized.test_bitsandbytes import EIGHT, FOUR, eight_bits, four_bits
from tests.model.checkpoint.quantized.test_fp8 import STATIC, per_tensor
from tests.model.checkpoint.test_held_weights import bytes_of

GROUPED = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 16, "symmetric": False}
CHANNEL = {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True}


def ordered(weight):
    """Weights of the same inputs have these in the same order, as they are quantized by the same inputs."""
    torch.manual_seed(weight.shape[1])
    return packed_weights.gptq(weight, ordered=True)


UPLOADS = {
    "AWQ": (packed_weights.awq, {"quant_method": "awq", "w_bit": 4, "version": "GEMM"}),
    "GPTQ in order of activations": (ordered, {"quant_method": "gptq", "bits": 4}),
    "packed": (lambda w: compressed(w, "pack-quantized", **GROUPED), entry("pack-quantized", **GROUPED)),
    "whole numbers": (lambda w: compressed(w, "int-quantized", **CHANNEL), entry("int-quantized", **CHANNEL)),
    "nf4": (four_bits, FOUR),
    "nf4 in blocks over several rows": (lambda w: four_bits(w, block=128), FOUR),
    "int8": (eight_bits, EIGHT),
    "fp8": (per_tensor, STATIC),
}


@pytest.fixture(scope="module")
def upload(checkpoint, tmp_path_factory):
    @cache
    def write(name):
        return write_upload(*UPLOADS[name], checkpoint("mixtral"), tmp_path_factory.mktemp("upload") / "q")[0]

    return write


@pytest.fixture
def held_bytes(monkeypatch):
    """What a loaded model's tensors take, without those of rope; what is not in few bits is not laid out."""
    monkeypatch.setattr("model.checkpoint.held_weights.layout_for", lambda *_: None)

    def measured(folder, tp=None, adapter=None):
        model = load_transformer(folder, torch.float32, tp=tp, adapter=adapter, quantization="none")
        return bytes_of(model) - sum(buffer.nbytes for buffer in model.rope.buffers())

    return measured


@pytest.mark.parametrize("name", UPLOADS)
def test_memory_is_known_before_weights_are_read(name, upload, held_bytes):
    config = check_checkpoint(upload(name))
    assert weight_bytes(config, torch.float32) == held_bytes(upload(name))
    assert (config.few_bits.numbers > 0) == (name != "fp8")
    whole = weight_bytes(config, torch.float32, "int8")  # an upload is not kept as it is stored then
    assert whole == sum(p.nbytes for p in load_transformer(upload(name), torch.float32).parameters())


@pytest.mark.parametrize("name", ["AWQ", "GPTQ in order of activations", "nf4", "int8"])
def test_each_rank_takes_its_share(name, upload, held_bytes):
    few = check_checkpoint(upload(name), tensor_parallel=2).few_bits
    halves = [held_bytes(upload(name), TensorParallel(rank, 2)) for rank in range(2)]
    numbers = [held_bytes(upload("fp8"), TensorParallel(rank, 2)) for rank in range(2)]
    assert sum(halves) == sum(numbers) - 4 * few.numbers + few.bytes


def test_what_an_adapter_changes_becomes_numbers(upload, held_bytes, tmp_path):
    """Queries and experts; of all that is quantized the outputs of attention alone are left."""
    adapter = write_old(tmp_path / "adapter")
    config = check_checkpoint(upload("AWQ"), adapter=adapter)
    assert config.few_bits.numbers == 3 * 32 * 32
    assert weight_bytes(config, torch.float32) == held_bytes(upload("AWQ"), adapter=adapter)


def test_parts_of_a_projection_that_are_quantized_in_different_ways_become_numbers(
    checkpoint, held_bytes, tmp_path
):
    """Queries in groups of 32, and keys and values in groups of 16."""

    def quantize(weight):
        group = 32 if weight.shape == (32, 32) else 16
        return packed_weights.gptq(weight, group=group)

    folder = write_upload(quantize, {"quant_method": "gptq", "bits": 4}, checkpoint("dense"), tmp_path / "q")[
        0
    ]
    config = check_checkpoint(folder)
    layer = 32 * 32 + 3 * 32 * 48  # attention's outputs, and the feed-forward layer
    assert config.few_bits.numbers == 3 * layer
    assert weight_bytes(config, torch.float32) == held_bytes(folder)


def test_where_nothing_stays_in_few_bits_the_model_is_a_plain_one(checkpoint, tmp_path):
    """Queries alone are quantized, and keys and values beside them are not."""
    queries = re.compile(r"(.+\.q_proj)\.weight")
    folder, _ = write_upload(*UPLOADS["AWQ"], checkpoint("mixtral"), tmp_path / "q", queries)
    assert check_checkpoint(folder).few_bits == FewBits()
    assert not load_transformer(folder, torch.float32, quantization="none").is_laid_out


@pytest.mark.parametrize(("name", "gib"), [("awq", 24.8), ("nf4", 24.8), ("int8", 43.8)])
def test_8x7b(name, gib, tmp_path):
    """In 4 bits within 27 GB."""
    config = check_checkpoint(write_large(tmp_path, name))
    assert weight_bytes(config, torch.bfloat16) / (1 << 30) == pytest.approx(gib, abs=0.05)
    assert (weight_bytes(config, torch.bfloat16) < 27e9) == (name != "int8")
