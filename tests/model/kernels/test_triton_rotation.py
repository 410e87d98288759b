"""Held to the plain one; without a GPU in Triton's interpreter."""

import pytest
import torch

pytest.importorskip("triton", reason="there are no wheels of it for this machine")
from model.kernels.triton_kernels import TRITON
from tests.model.kernels.same import DTYPES, check_rotate, check_rotate_into

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("heads", "kv_heads", "width"), [(4, 2, 16), (3, 1, 24), (8, 8, 2)])
@pytest.mark.parametrize("tokens", [0, 1, 5])
def test_it_equals_the_plain_one(tokens, heads, kv_heads, width, dtype):
    check_rotate(TRITON, tokens, heads, kv_heads, width, dtype, DEVICE)
    check_rotate_into(TRITON, tokens, heads, kv_heads, width, dtype, DEVICE)


def test_queries_and_keys_lie_side_by_side():
    qkv, rope = torch.ones(3, 6, 8, device=DEVICE), (torch.ones(3, 1, 8, device=DEVICE),) * 2
    assert all(x.is_contiguous() for x in TRITON.rotate(qkv, rope, 2, 2))
