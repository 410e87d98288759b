"""fp8: compressed-tensors' compared with that library, other layouts with a plain calculation."""

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

FLOAT = {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True}
STATIC = {"quant_method": "fp8", "activation_scheme": "static"}


def per_tensor(weight):
    """As AutoFP8 and vLLM have it: a scale for all, and one of the activations."""
    scale = weight.abs().max() / 448
    stored = (weight / scale).to(torch.float8_e4m3fn)
    parts = {"weight": stored, "weight_scale": scale, "input_scale": torch.tensor(0.5)}
    return parts, stored.float() * scale


@pytest.mark.parametrize("strategy", ["channel", "tensor", "block"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compressed_tensors_numbers_are_the_library_s(strategy, dtype, tmp_path):
    args = FLOAT | {"strategy": strategy} | ({"block_structure": [8, 12]} if strategy == "block" else {})
    parts, expected = compressed(torch.randn(40, 36, dtype=dtype), "float-quantized", **args)
    parts.pop("weight_zero_point", None)
    stored = {f"{Q}.{name}": value for name, value in parts.items()}
    read = only_weight(stored, entry("float-quantized", **args), tmp_path)
    assert torch.equal(read[:].to(dtype).float(), expected)


def test_blocks_and_rows(tmp_path):
    weight = torch.randn(40, 36).to(torch.float8_e4m3fn)
    scales = torch.rand(3, 2) + 0.5
    expected = torch.stack(
        [torch.stack([weight[o, i].float() * scales[o // 16, i // 32] for i in range(36)]) for o in range(40)]
    )
    blocks = {"quant_method": "fp8", "weight_block_size": [16, 32]}
    stored = {f"{Q}.weight": weight, f"{Q}.weight_scale_inv": scales}
    assert torch.equal(only_weight(stored, blocks, tmp_path)[:], expected)
    rows = torch.rand(40, 1)
    stored = {f"{Q}.weight": weight, f"{Q}.weight_scale": rows, f"{Q}.input_scale_ub": torch.ones(1)}
    read = only_weight(stored, {"quant_method": "fbgemm_fp8"}, tmp_path)
    assert torch.equal(read[:, 3:], (weight.float() * rows)[:, 3:])


@pytest.mark.parametrize(
    ("quantize", "config"),
    [
        (per_tensor, STATIC),
        (partial(compressed, kind="float-quantized", **FLOAT), entry("float-quantized", **FLOAT)),
    ],
)
def test_logits_are_those_of_the_dequantized_weights(quantize, config, checkpoint, tmp_path):
    def without_zeros(weight):
        parts, numbers = quantize(weight)
        return {name: part for name, part in parts.items() if name != "weight_zero_point"}, numbers

    require_logits_of_dequantized(without_zeros, config, checkpoint("mixtral"), tmp_path)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"weight": torch.zeros(8, 32)}, "must be stored as F8_E4M3, got F32"),
        ({"weight_scale": torch.zeros(3)}, r"shape \[3\] does not fit a weight of shape \[8, 32\]"),
        ({"weight_scale": torch.zeros(3, 2)}, "does not fit a weight of shape"),
        ({"weight": torch.zeros(8).to(torch.float8_e4m3fn)}, "must be a matrix"),
    ],
)
def test_parts_that_do_not_fit_are_named(parts, message, tmp_path):
    whole, _ = per_tensor(torch.randn(8, 32))
    stored = {f"{Q}.{name}": value for name, value in (whole | parts).items()}
    with pytest.raises(ValueError, match=message):
        write_quantized(stored, STATIC, tmp_path)


@pytest.mark.parametrize("scales", [torch.ones(7), torch.ones(2), torch.ones(3, 2), torch.ones(2, 2, 1)])
def test_scales_of_other_blocks_are_refused_before_they_are_read(scales, tmp_path):
    stored = {f"{Q}.weight": torch.zeros(40, 36).to(torch.float8_e4m3fn), f"{Q}.weight_scale_inv": scales}
    with pytest.raises(
        ValueError, match=r"weight_scale_inv: (shape .* does not fit|.* ask for shape \[2, 2\])"
    ):
        write_quantized(stored, {"quant_method": "fp8", "weight_block_size": [32, 32]}, tmp_path)
