import pytest
import torch

from tests.model.checkpoint.quantized import packed_weights
from tests.model.checkpoint.quantized.quantized_upload import (
    Q,
    only_weight,
    require_logits_of_dequantized,
    write_quantized,
)

ENTRY = {"quant_method": "awq", "bits": 4, "group_size": 16, "zero_point": True, "version": "gemm"}


@pytest.mark.parametrize(("outputs", "inputs", "group"), [(16, 32, 16), (8, 64, 32), (48, 32, 32)])
def test_numbers_are_those_of_the_packing_to_the_bit(outputs, inputs, group, tmp_path):
    parts, expected = packed_weights.awq(torch.randn(outputs, inputs), group)
    stored = {f"{Q}.{name}": value for name, value in parts.items()}
    read = only_weight(stored, ENTRY | {"group_size": group}, tmp_path)
    assert torch.equal(read[:], expected)


def test_logits_are_those_of_the_dequantized_weights(checkpoint, tmp_path):
    require_logits_of_dequantized(packed_weights.awq, ENTRY, checkpoint("mixtral"), tmp_path)


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("qzeros", None, "of its weight in AWQ qzeros is missing"),
        ("qzeros", torch.zeros(2, 3, dtype=torch.int32), r"qzeros: .* ask for shape \[2, 2\], the file has"),
        ("qweight", torch.zeros(32, 2), "qweight: must be stored as I32, got F32"),
        ("scales", torch.zeros(3, 16).half(), "ask for shape"),
        ("scales", torch.zeros(2, 15).half(), r"shape \[2, 15\] does not fit 16 outputs, 32 inputs"),
        ("bias", torch.zeros(16), "is no part that a weight in AWQ has"),
    ],
)
def test_parts_that_do_not_fit_are_named(part, value, message, tmp_path):
    parts, _ = packed_weights.awq(torch.randn(16, 32))
    changed = {name: tensor for name, tensor in (parts | {part: value}).items() if tensor is not None}
    with pytest.raises(ValueError, match=message):
        write_quantized({f"{Q}.{name}": tensor for name, tensor in changed.items()}, ENTRY, tmp_path)
