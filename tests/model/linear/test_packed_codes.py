import torch
from hypothesis import given
from hypothesis import strategies as st

from model.linear.packed_codes import joined_codes, packed_codes, two_in_a_byte
from tests.model.linear.few_bits import few_bits, weights


@given(st.integers(1, 5), st.integers(1, 6))
def test_the_first_of_two_codes_is_in_the_upper_bits(outputs, pairs):
    codes = torch.randint(0, 16, (outputs, 2 * pairs), dtype=torch.uint8)
    packed = two_in_a_byte(codes)
    assert packed.tolist() == [
        [16 * int(row[2 * i]) + int(row[2 * i + 1]) for i in range(pairs)] for row in codes
    ]


@given(weights())
def test_scales_and_zeros_lose_nothing(weight):
    packed = packed_codes(weight)
    scales = weight.scales if packed.table is None else weight.largest
    assert torch.equal(packed.scales.float().flatten(), scales.flatten())
    if packed.zeros is not None:
        assert torch.equal(packed.zeros.float().flatten(), weight.zeros.flatten())


def test_scales_of_16_bits_and_whole_zeros_take_three_bytes():
    packed = packed_codes(few_bits("grid", 6, 2, 64, narrow=True))
    assert packed.nbytes == 6 * 64 + 6 * 2 * 3


def test_what_lies_otherwise_is_not_joined():
    one = packed_codes(few_bits("grid", 6, 2, 32))
    for other in (
        few_bits("grid", 5, 2, 32),
        few_bits("grid", 6, 2, 32, bits=8),
        few_bits("grid", 6, 4, 16),
        few_bits("codebook", 6, 2, 32),
        few_bits("listed", 6, 2, 32),
    ):
        assert joined_codes([one, packed_codes(other)]) is None
    listed = [packed_codes(few_bits("listed", 6, 2, 32, seed=seed)) for seed in (0, 1)]
    assert joined_codes(listed) is None, "the groups are others"


def test_joined_ones_have_a_type_that_has_all_numbers():
    parts = [packed_codes(few_bits("grid", 6, 2, 32, narrow=narrow)) for narrow in (True, False)]
    assert parts[0].scales.dtype is torch.bfloat16
    joined = joined_codes(parts)
    for i, part in enumerate(parts):
        assert torch.equal(joined.one(i).scales.float(), part.scales.float())
        assert torch.equal(joined.one(i).codes, part.codes)
