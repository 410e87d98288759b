"""Held to the plain one; without a GPU in Triton's interpreter."""

import pytest
import torch

pytest.importorskip("triton", reason="there are no wheels of it for this machine")
from model.kernels.triton_kernels import TRITON
from tests.model.kernels.same import DTYPES, TOKENS, check_route, check_route_of_no_numbers

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("experts", "num_chosen"), [(8, 2), (4, 1), (6, 3), (16, 2)])
@pytest.mark.parametrize("tokens", TOKENS)
def test_it_equals_the_plain_one(tokens, experts, num_chosen, dtype):
    check_route(TRITON, tokens, experts, num_chosen, dtype, DEVICE)


def test_no_numbers():
    check_route_of_no_numbers(TRITON, DEVICE)
