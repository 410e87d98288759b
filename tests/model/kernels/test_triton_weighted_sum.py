"""Held to the plain one; without a GPU in Triton's interpreter."""

import pytest
import torch

pytest.importorskip("triton", reason="there are no wheels of it for this machine")
from model.kernels.triton_kernels import TRITON
from tests.model.kernels.same import DTYPES, check_weighted_sum

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("num_chosen", "width"), [(1, 8), (2, 31), (3, 1100)])
@pytest.mark.parametrize("tokens", [0, 1, 6])
def test_it_equals_the_plain_one(tokens, num_chosen, width, dtype):
    check_weighted_sum(TRITON, tokens, num_chosen, width, dtype, DEVICE)
