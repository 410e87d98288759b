"""Drawn weights of few bits in every way that codes and scales lie, for tests of what multiplies by them."""

import torch
from hypothesis import strategies as st

from model.linear.codebook import NF4, Codebook
from model.linear.grid import Grid

WAYS = ("grid", "listed", "codebook")
DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def few_bits(way, outputs, groups, group, *, bits=4, seed=0, narrow=False):
    """A weight [outputs, groups * group]. `narrow`: scales that bfloat16 has, and whole zeros."""
    generator = torch.Generator().manual_seed(seed)
    inputs = groups * group
    codes = torch.randint(0, 1 << bits, (outputs, inputs), dtype=torch.uint8, generator=generator)
    if way == "codebook":  # blocks end with the row or run on, as the widths have it
        block = group if narrow else group + 1
        largest = torch.rand(-(-outputs * inputs // block), generator=generator)
        return Codebook(codes, torch.tensor(NF4), largest, block)
    scales, zeros = torch.randn(2, outputs, groups, generator=generator)
    if narrow:
        scales, zeros = scales.bfloat16().float(), (zeros * 4).round().clamp(min=0)
    listed = torch.randint(0, groups, (inputs,), generator=generator) if way == "listed" else None
    return Grid(bits, codes, scales, zeros, listed)


@st.composite
def weights(draw, several=False):
    """One, or up to four that lie alike."""
    way = draw(st.sampled_from(WAYS))
    options = {
        "outputs": draw(st.integers(1, 70)),
        "groups": draw(st.integers(1, 3)),
        "group": draw(st.sampled_from([1, 3, 8, 32, 33, 64, 128])),
        "bits": 4 if way == "codebook" else draw(st.sampled_from([4, 8])),
        "narrow": draw(st.booleans()),
    }
    count = draw(st.integers(2, 4)) if several else 1
    drawn = [few_bits(way, **options, seed=seed) for seed in range(count)]
    if way == "listed":
        drawn = [Grid(one.bits, one.codes, one.scales, one.zeros, drawn[0].groups) for one in drawn]
    return drawn if several else drawn[0]
