import pytest
import torch
from compressed_tensors.quantization import QuantizationArgs
from compressed_tensors.quantization.lifecycle.forward import dequantize, quantize
from compressed_tensors.quantization.utils import calculate_qparams

from model.linear.grid import Grid, grid_part, joined_grids, quantized_grid


@pytest.mark.parametrize("bits", [4, 8])
def test_quantized_as_compressed_tensors_does(bits):
    weight = torch.randn(24, 64)
    grouped = weight.view(24, 4, 16)
    settings = QuantizationArgs(num_bits=bits, type="int", strategy="group", group_size=16, symmetric=True)
    scales, zeros = calculate_qparams(grouped.amin(-1), grouped.amax(-1), settings)
    codes = quantize(weight, scales, zeros, settings, dtype=torch.int8)
    grid = quantized_grid(weight, bits, 16)
    torch.testing.assert_close(grid.scales, scales)
    assert torch.equal(grid.codes.int() - (1 << (bits - 1)), codes.int())
    torch.testing.assert_close(grid.numbers(), dequantize(codes, scales, zeros, settings))


def random_grid(outputs, inputs, groups, ordered=False):
    order = torch.arange(inputs)[torch.randperm(inputs)] % groups if ordered else None
    codes = torch.randint(0, 16, (outputs, inputs), dtype=torch.uint8)
    return Grid(4, codes, torch.rand(outputs, groups), torch.randint(0, 16, (outputs, groups)).float(), order)


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize(
    ("rows", "columns"), [((0, 8), (0, 48)), ((2, 5), (16, 32)), ((0, 8), (24, 48)), ((1, 2), (0, 20))]
)
def test_a_part_has_the_numbers_of_the_whole(rows, columns, ordered):
    whole, rows, columns = random_grid(8, 48, 3, ordered), slice(*rows), slice(*columns)
    assert torch.equal(grid_part(whole, rows, columns).numbers(), whole.numbers()[rows, columns])


def test_grids_of_the_same_groups_are_joined():
    one, other = random_grid(8, 48, 3), random_grid(4, 48, 3)
    joined = joined_grids([one, other])
    assert torch.equal(joined.numbers(), torch.cat([one.numbers(), other.numbers()]))
    assert joined_grids([one, random_grid(4, 48, 6)]) is None
    ordered = random_grid(4, 48, 3, ordered=True)
    assert joined_grids([one, ordered]) is None
    assert joined_grids([ordered, random_grid(4, 48, 3, ordered=True)]) is None
