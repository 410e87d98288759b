"""Weights in oneDNN's layout multiply as the weights themselves."""

import os
import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

from model.linear.packed import multiply_packed, multiply_twice, packed, rows_to_add
from tests.model.linear.weights import SHAPES, alone, drawn


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rows", [0, 1, 2, 32, 33, 67, 130])
def test_packed_multiplies_as_the_weight_itself(shape, rows):
    weight, x = drawn(*shape), drawn(rows, shape[1], seed=1)
    torch.testing.assert_close(alone(packed, weight)(x), F.linear(x, weight), atol=1e-5, rtol=1e-5)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
def test_what_rounding_leaves_is_added(monkeypatch):
    """In float32, which every processor has, with a product that is rounded as a bfloat16 one is."""
    monkeypatch.setattr("model.linear.packed.multiply_packed", lambda *given: multiply_packed(*given).round())
    weight, x = drawn(48, 300), drawn(7, 300, seed=1)
    laid_out = torch.ops.mkldnn._reorder_linear_weight(weight, 32)
    torch.testing.assert_close(multiply_twice(x, laid_out), F.linear(x, weight), atol=1e-4, rtol=0)


def test_few_rows_are_added_and_few_numbers_of_rows_are_left():
    numbers = {rows: rows + rows_to_add(rows) for rows in range(4097)}
    assert all(rows == numbers[rows] for rows in range(33))
    assert all(numbers[rows] - rows < rows / 16 for rows in range(1, 4097))
    assert len(set(numbers.values())) < 160  # five shapes of weights share 1,024 kernels


def test_packed_gives_a_row_what_it_gives_it_alone_among_rows_of_nan():
    multiply, x = alone(packed, drawn(48, 32)), torch.full((67, 32), torch.nan)
    x[40] = drawn(32, seed=1)
    together = multiply(x)
    torch.testing.assert_close(together[40], multiply(x[40:41])[0])
    assert together[:40].isnan().all()
    assert together[41:].isnan().all()


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
def test_onednn_compiles_a_kernel_for_few_numbers_of_rows():
    run = (
        "import torch; from model.linear.packed import packed\n"
        "multiply = packed(torch.ones(1, 48, 32))\n"
        "for rows in range(1, 513): multiply(torch.ones(rows, 32), [rows])"
    )
    environment = os.environ | {"ONEDNN_VERBOSE": "profile_create"}
    done = subprocess.run(
        [sys.executable, "-c", run], env=environment, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    compiled = sum(",inner_product," in line and "create:cache_miss" in line for line in lines)
    assert 0 < compiled < 100
