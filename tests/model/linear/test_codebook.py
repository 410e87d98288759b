import pytest
import torch
from bitsandbytes import functional

from model.linear.codebook import Codebook, codebook_part, joined_codebooks, quantized_codebook


def test_quantized_as_bitsandbytes_does():
    weight = torch.randn(96, 128)
    packed, state = functional.quantize_4bit(weight, blocksize=64, quant_type="nf4")
    found = quantized_codebook(weight)
    codes = torch.stack([packed.view(-1) >> 4, packed.view(-1) & 15], -1).view(96, 128)
    assert torch.equal(found.codes, codes)
    assert torch.equal(found.numbers(), functional.dequantize_4bit(packed, state))


@pytest.mark.parametrize(
    ("rows", "columns"), [((0, 8), (0, 48)), ((2, 5), (16, 32)), ((0, 8), (24, 48)), ((1, 2), (0, 20))]
)
def test_a_part_has_the_numbers_of_the_whole(rows, columns):
    """Also where blocks run on through the rows."""
    codes = torch.randint(0, 16, (8, 48), dtype=torch.uint8)
    whole = Codebook(codes, torch.randn(16), torch.rand(6), 64)
    rows, columns = slice(*rows), slice(*columns)
    part = codebook_part(whole, rows, columns)
    assert torch.equal(part.numbers(), whole.numbers()[rows, columns])


def test_weights_of_one_table_are_joined():
    one, other = quantized_codebook(torch.randn(4, 128)), quantized_codebook(torch.randn(6, 128))
    joined = joined_codebooks([one, other])
    assert torch.equal(joined.numbers(), torch.cat([one.numbers(), other.numbers()]))
    assert joined_codebooks([one, Codebook(other.codes, other.table * 2, other.largest, other.block)]) is None
