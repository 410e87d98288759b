"""Weights in few bits in memory: their answers are those of the dequantized weights, and they are small."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import MixtralConfig, MixtralForCausalLM

from model.checkpoint.held_weights import HELD
from model.checkpoint.load import load_transformer
from model.engine import Engine, SamplingParams
from model.linear.codebook import quantized_codebook
from model.linear.grid import quantized_grid
from model.linear.held import Int4, Unpacked
from model.machine.budget import weight_bytes
from model.network.tensor_parallel import TensorParallel
from model.scheduling.batch import left_pad
from tests.model.checkpoint.quantized import packed_weights
from tests.model.checkpoint.quantized.compressed import compressed, entry
from tests.model.checkpoint.quantized.quantized_upload import _QUANTIZED, require_logits_of_dequantized
from tests.model.checkpoint.quantized.test_bitsandbytes import EIGHT, FOUR, eight_bits, four_bits
from tests.model.checkpoint.quantized.test_fp8 import STATIC, per_tensor
from tests.model.checkpoint.quantized.test_gptq import ENTRY as GPTQ
from tests.model.checkpoint.refusal import PROMPT
from tests.model.conftest import SIZES, VARIANTS

WIDE = (
    SIZES | VARIANTS["four-experts"] | {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2}
)
GROUPED = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 16, "symmetric": False}


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A checkpoint with widths that groups and blocks divide."""
    folder = tmp_path_factory.mktemp("wide")
    torch.manual_seed(0)
    MixtralForCausalLM(MixtralConfig(**WIDE)).save_pretrained(folder)
    return folder


def logits(folder, **options):
    return load_transformer(folder, torch.float32, **options)(*left_pad([PROMPT]))[0]


@pytest.mark.parametrize("quantization", HELD)
def test_quantized_at_load(quantization, wide, tmp_path):
    folder = shutil.copytree(wide, tmp_path / "rounded")
    tensors = load_file(folder / "model.safetensors")
    for name, weight in tensors.items():
        if _QUANTIZED.fullmatch(name):
            rounded = quantized_codebook(weight) if quantization == "nf4" else quantized_grid(weight, 4, 128)
            tensors[name] = rounded.numbers()
    save_file(tensors, folder / "model.safetensors")
    torch.testing.assert_close(logits(wide, quantization=quantization), logits(folder), atol=1e-4, rtol=0)
    answers = []
    for path, options in ((wide, {"quantization": quantization}), (folder, {})):
        engine = Engine.load(path, "float32", threads=1, device="cpu", kv_cache_tokens=64, **options)
        answers += engine.generate([PROMPT], SamplingParams(max_new_tokens=8))
        assert engine.path["quantization"] == options.get("quantization", "none")
        engine.close()
    assert answers[0].token_ids == answers[1].token_ids


def parts_of_gptq(weight):
    return packed_weights.gptq(weight, ordered=False)


def parts_of_compressed(weight):
    return compressed(weight, "pack-quantized", **GROUPED)


@pytest.mark.parametrize(
    ("quantize", "config", "small"),
    [
        (parts_of_gptq, GPTQ, True),
        (parts_of_compressed, entry("pack-quantized", **GROUPED), True),
        (four_bits, FOUR, True),
        (eight_bits, EIGHT, True),
        (per_tensor, STATIC, False),
    ],
)
def test_uploads_stay_as_they_are_stored(quantize, config, small, checkpoint, tmp_path):
    folder = require_logits_of_dequantized(quantize, config, checkpoint("mixtral"), tmp_path)
    model = load_transformer(folder, torch.float32, quantization="none")
    assert model.is_laid_out == small
    expected = logits(folder)
    torch.testing.assert_close(model(*left_pad([PROMPT]))[0], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("quantization", HELD)
@pytest.mark.parametrize("rank", [0, 1])
def test_each_rank_holds_its_part(quantization, rank, wide, monkeypatch):
    """The sum over ranks is tested for all layouts; here that a slice of inputs is taken."""
    half = load_transformer(wide, torch.float32, tp=TensorParallel(rank, 2), quantization=quantization)
    assert half.blocks[0].feed_forward.hidden_width == 128
    whole = load_transformer(wide, torch.float32)
    x = torch.randn(3, 128)
    monkeypatch.setattr(TensorParallel, "all_reduce", lambda self, partial: partial)
    multiply = half.blocks[0].attention.wo
    expected = x[:, :64] @ whole.blocks[0].attention.wo.weight[:, 64 * rank : 64 * rank + 64].T
    assert (multiply(x[:, :64]) - expected).norm() < 0.2 * expected.norm()


def test_a_width_that_no_block_divides_is_refused(checkpoint):
    with pytest.raises(ValueError, match=r"q_proj.weight: quantization nf4 needs a width that 64 divides"):
        load_transformer(checkpoint("mixtral"), torch.float32, quantization="nf4")


def bytes_of(model):
    """Of parameters, and of what layouts hold in their closures."""
    seen, found = set(), 0
    waiting = [cell for module in model.modules() for cell in vars(module).values()]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, torch.Tensor | Int4 | Unpacked):
            found += value.nbytes
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
        elif callable(value) and getattr(value, "__closure__", None):
            waiting += [cell.cell_contents for cell in value.__closure__]
    return found


@pytest.mark.parametrize("quantization", HELD)
def test_weights_take_less_than_a_third_of_bfloat16(quantization, tmp_path):
    """Of a model whose embeddings and head are less than 2% of it each."""
    sizes = WIDE | {"hidden_size": 512, "intermediate_size": 1024, "num_local_experts": 8}
    torch.manual_seed(0)
    MixtralForCausalLM(MixtralConfig(**sizes)).to(torch.bfloat16).save_pretrained(tmp_path)
    plain = load_transformer(tmp_path, torch.bfloat16)
    whole = sum(parameter.nbytes for parameter in plain.parameters())
    assert plain.embedding.weight.nbytes < 0.02 * whole
    held = load_transformer(tmp_path, torch.bfloat16, quantization=quantization)
    assert 0.25 * whole < bytes_of(held) < 0.32 * whole
    assert bytes_of(held) <= weight_bytes(held.config, torch.bfloat16, quantization) < 1.1 * bytes_of(held)
