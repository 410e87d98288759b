import json
from functools import partial

import pytest
import torch

from model.checkpoint.load import check_checkpoint
from tests.model.checkpoint.quantized import packed_weights
from tests.model.checkpoint.quantized.quantized_upload import (
    Q,
    only_weight,
    require_logits_of_dequantized,
    write_quantized,
)
from tests.model.checkpoint.refusal import logits_of

ENTRY = {"quant_method": "gptq", "bits": 4, "group_size": 16, "desc_act": True, "sym": False}


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("version", [{}, {"checkpoint_format": "gptq_v2"}, {"format": "gptq_v2"}])
def test_numbers_are_those_of_the_packing_to_the_bit(bits, ordered, version, tmp_path):
    parts, expected = packed_weights.gptq(torch.randn(24, 32), bits, 16, ordered, less_one=not version)
    entry = ENTRY | {"bits": bits} | version
    read = only_weight({f"{Q}.{name}": value for name, value in parts.items()}, entry, tmp_path)
    assert torch.equal(read[:], expected)
    del parts["g_idx"]
    if not ordered:
        read = only_weight({f"{Q}.{name}": value for name, value in parts.items()}, entry, tmp_path)
        assert torch.equal(read[:], expected)


@pytest.mark.parametrize("ordered", [False, True])
def test_logits_are_those_of_the_dequantized_weights(ordered, checkpoint, tmp_path):
    quantize = partial(packed_weights.gptq, ordered=ordered)
    require_logits_of_dequantized(quantize, ENTRY, checkpoint("mixtral"), tmp_path)


def test_names_of_older_uploads(checkpoint, tmp_path):
    """Of AutoGPTQ: the file has another name, and quantize_config.json says how; biases of 0 are stored."""

    def quantize(weight):
        parts, numbers = packed_weights.gptq(weight)
        return parts | {"bias": torch.zeros(len(weight))}, numbers

    folder = require_logits_of_dequantized(quantize, ENTRY, checkpoint("dense"), tmp_path)
    expected = logits_of(folder)
    config = json.loads((folder / "config.json").read_text())
    del config["quantization_config"]
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").rename(folder / "gptq_model-4bit-16g.safetensors")
    (folder / "quantize_config.json").write_text(json.dumps({"bits": 4, "group_size": 16, "desc_act": True}))
    assert check_checkpoint(folder).vocab_size == 97
    assert torch.equal(logits_of(folder), expected)


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("qzeros", None, "of its weight in GPTQ qzeros is missing"),
        ("qzeros", torch.zeros(2, 3, dtype=torch.int32), r"qzeros: .* ask for shape \[2, 2\], the file has"),
        ("scales", torch.zeros(2, 15).half(), r"shape \[2, 15\] does not fit 16 outputs, 32 inputs"),
        ("g_idx", torch.full((32,), 2), "names a group that is not there: there are 2"),
        ("g_idx", torch.zeros(31, dtype=torch.int32), r"ask for shape \[32\]"),
        ("bias", torch.ones(16), "bias: is not zero, and the model has no biases"),
    ],
)
def test_parts_that_do_not_fit_are_named(part, value, message, tmp_path):
    parts, _ = packed_weights.gptq(torch.randn(16, 32))
    changed = {name: tensor for name, tensor in (parts | {part: value}).items() if tensor is not None}
    with pytest.raises(ValueError, match=message):
        write_quantized({f"{Q}.{name}": tensor for name, tensor in changed.items()}, ENTRY, tmp_path)


def test_groups_that_do_not_divide_the_inputs_are_not_guessed(tmp_path):
    """60 inputs in groups of 16 are 4 groups, as groups of 15 would be."""
    parts, expected = packed_weights.gptq(torch.randn(16, 60), group=16, bits=8)
    stored = {f"{Q}.{name}": tensor for name, tensor in parts.items()}
    entry = ENTRY | {"bits": 8}
    assert torch.equal(only_weight(stored, entry, tmp_path)[:], expected)
    del stored[f"{Q}.g_idx"]
    with pytest.raises(
        ValueError, match="its scales are of groups of 15 inputs, quantization_config says 16"
    ):
        write_quantized(stored, entry, tmp_path)
