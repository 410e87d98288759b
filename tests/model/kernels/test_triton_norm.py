"""Held to the plain one; without a GPU in Triton's interpreter."""

import pytest
import torch

pytest.importorskip("triton", reason="there are no wheels of it for this machine")
from model.kernels.triton_kernels import TRITON
from tests.model.kernels.same import DTYPES, check_add_norm

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("tokens", "width"), [(0, 8), (1, 32), (5, 24), (3, 512)])
def test_it_equals_the_plain_one(tokens, width, dtype):
    check_add_norm(TRITON, tokens, width, dtype, DEVICE)
