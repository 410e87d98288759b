import pytest
import torch
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32
from hypothesis import given, settings
from hypothesis import strategies as st

from model.checkpoint.quantized.packed_bits import packed_bits, unpacked


@pytest.mark.parametrize("bits", [4, 8])
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_what_was_packed_is_unpacked(bits, data):
    rows, columns = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 40))
    seed = data.draw(st.integers(0, 1 << 30))
    numbers = torch.randint(0, 1 << bits, (rows, columns), generator=torch.Generator().manual_seed(seed))
    packed = packed_bits(numbers.to(torch.uint8), bits)
    assert torch.equal(packed, pack_to_int32((numbers - (1 << (bits - 1))).to(torch.int8), bits))
    assert torch.equal(unpacked(packed, bits)[:, :columns], numbers.to(torch.uint8))


def test_another_order():
    packed = torch.tensor([[0x76543210]], dtype=torch.int32)
    assert unpacked(packed, 4).tolist() == [[0, 1, 2, 3, 4, 5, 6, 7]]
    assert unpacked(packed, 4, (0, 4, 1, 5, 2, 6, 3, 7)).tolist() == [[0, 4, 1, 5, 2, 6, 3, 7]]
