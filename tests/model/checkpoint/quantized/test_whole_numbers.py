"""compressed-tensors' packed and plain whole numbers, compared with that library."""

from functools import partial

import pytest
import torch

from tests.model.checkpoint.quantized.compressed import compressed, entry
from tests.model.checkpoint.quantized.quantized_upload import (
    Q,
    only_weight,
    require_logits_of_dequantized,
    write_quantized,
)

GROUPED = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 16, "symmetric": True}
CHANNEL = {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True}
PACKED, PLAIN = "pack-quantized", "int-quantized"


@pytest.mark.parametrize(
    ("kind", "args", "shape"),
    [
        (PACKED, GROUPED, (40, 64)),
        (PACKED, GROUPED | {"symmetric": False}, (40, 64)),
        (PACKED, GROUPED | {"symmetric": False, "num_bits": 8}, (42, 48)),
        (PACKED, GROUPED | {"num_bits": 8}, (9, 32)),
        (PACKED, CHANNEL | {"num_bits": 4}, (9, 36)),
        (PACKED, CHANNEL | {"symmetric": False}, (9, 36)),
        (PLAIN, CHANNEL, (9, 36)),
        (PLAIN, CHANNEL | {"symmetric": False}, (9, 36)),
        (PLAIN, CHANNEL | {"strategy": "tensor"}, (9, 36)),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_numbers_are_the_library_s(kind, args, shape, dtype, tmp_path):
    parts, expected = compressed(torch.randn(shape, dtype=dtype), kind, **args)
    read = only_weight({f"{Q}.{name}": value for name, value in parts.items()}, entry(kind, **args), tmp_path)
    assert torch.equal(read[:].to(dtype).float(), expected)


@pytest.mark.parametrize(("kind", "args"), [(PACKED, GROUPED), (PLAIN, CHANNEL)])
def test_logits_are_those_of_the_dequantized_weights(kind, args, checkpoint, tmp_path):
    quantize = partial(compressed, kind=kind, **args)
    require_logits_of_dequantized(quantize, entry(kind, **args), checkpoint("mixtral"), tmp_path)


def test_activation_order(tmp_path):
    """With g_idx the first half of the inputs may belong to the second group, and the other way round."""
    parts, expected = compressed(torch.randn(8, 32), PACKED, **GROUPED)
    parts["weight_scale"] = parts["weight_scale"].flip(1)
    parts["weight_g_idx"] = 1 - torch.arange(32, dtype=torch.int32) // 16
    stored = {f"{Q}.{name}": value for name, value in parts.items()}
    assert torch.equal(only_weight(stored, entry(PACKED, **GROUPED), tmp_path)[:], expected)


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("weight_shape", None, "of its weight in compressed-tensors weight_shape is missing"),
        ("weight_shape", torch.tensor([8, -32]), "of 4 bits are not"),
        ("weight_shape", torch.tensor([8, 1 << 40]), "of 4 bits are not"),
        ("weight_scale", torch.zeros(7, 2), "does not fit a weight of shape"),
        ("weight_scale", torch.zeros(8, 3), "does not fit a weight of shape"),
        ("weight_scale", torch.zeros(8, 2, dtype=torch.int32), "must be stored as F16, BF16, F32"),
        ("weight_g_idx", torch.full((32,), -1), "names a group that is not there"),
        ("weight_zero_point", torch.zeros(8, 2, dtype=torch.int32), r"ask for shape \[1, 2\]"),
        (
            "weight_packed",
            torch.zeros(8, 8, dtype=torch.int32),
            r"\[8, 32\] of 4 bits are not \[8, 8\] packed",
        ),
        ("weight_scale", torch.zeros(8, 4), "of groups of 8 inputs, quantization_config says 16"),
    ],
)
def test_parts_that_do_not_fit_are_named(part, value, message, tmp_path):
    parts, _ = compressed(torch.randn(8, 32), PACKED, **GROUPED)
    changed = {name: tensor for name, tensor in (parts | {part: value}).items() if tensor is not None}
    stored = {f"{Q}.{name}": tensor for name, tensor in changed.items()}
    with pytest.raises(ValueError, match=message):
        write_quantized(stored, entry(PACKED, **GROUPED), tmp_path)


@pytest.mark.parametrize("bits", [3, 7, "4"])
def test_bits_that_are_not_read_are_refused_whatever_the_shapes(bits, tmp_path):
    """3 bits of 8 inputs fill as many words as 4, and 7 once had the shape of 8."""
    parts, _ = compressed(torch.randn(8, 8), PACKED, **CHANNEL | {"num_bits": 4})
    stored = {f"{Q}.{name}": value for name, value in parts.items()}
    with pytest.raises(ValueError, match="num_bits of pack-quantized must be 4 or 8, got"):
        write_quantized(stored, entry(PACKED, **CHANNEL | {"num_bits": bits}), tmp_path)


def test_several_groups_of_layers(tmp_path):
    """Bits and groups are those of one of them."""
    several = entry(PACKED, **GROUPED)
    several["config_groups"]["other"] = {"weights": CHANNEL | {"group_size": None}}
    for args in (GROUPED, CHANNEL):
        parts, expected = compressed(torch.randn(8, 32), PACKED, **args)
        stored = {f"{Q}.{name}": value for name, value in parts.items()}
        assert torch.equal(only_weight(stored, several, tmp_path)[:], expected)
