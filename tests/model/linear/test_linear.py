"""Weights laid out for the CPU, and in 8 bits, multiply as slow plain functions say."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from model.linear.linear import Layout, int8, layout_for, packed, plain, rows_to_add
from model.sampling.sampling_params import SamplingParams

CPU = torch.device("cpu")
SHAPES = [(48, 32), (97, 24), (5, 301), (1, 1)]


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def rounded(x: torch.Tensor, steps: int) -> torch.Tensor:
    """Each row in so many steps from 0 to its largest."""
    scale = x.abs().amax(-1, keepdim=True).double().clamp(min=1e-38) / steps
    return (x / scale).round() * scale


def alone(layout: Layout, weight: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    multiply = layout(weight[None])
    return lambda x: multiply(x, [len(x)])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rows", [0, 1, 2, 32, 33, 67, 130])
def test_packed_multiplies_as_the_weight_itself(shape, rows):
    weight, x = drawn(*shape), drawn(rows, shape[1], seed=1)
    torch.testing.assert_close(alone(packed, weight)(x), F.linear(x, weight), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layout", [plain, packed, int8])
@pytest.mark.parametrize("sizes", [[3, 0, 40, 1], [0, 0, 0, 2], [33, 7, 67, 7]])
def test_each_of_several_weights_multiplies_its_own_rows(layout, sizes):
    weights, x = drawn(4, 48, 32), drawn(sum(sizes), 32, seed=1)
    apart = [
        alone(layout, weight)(rows) for weight, rows in zip(weights, x.split(sizes), strict=True) if len(rows)
    ]
    assert torch.equal(layout(weights)(x, sizes), torch.cat(apart))


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
        "import torch; from model.linear.linear import packed\n"
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


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rows", [33, 67])
def test_bfloat16_is_packed_where_the_processor_has_it(shape, rows):
    layout = layout_for(torch.bfloat16, CPU, "none")
    native = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    assert layout is (packed if native else None)
    weight, x = drawn(*shape).bfloat16(), drawn(rows, shape[1], seed=1).bfloat16()
    multiply = alone(layout or plain, weight)
    exact = x.double() @ weight.double().T
    torch.testing.assert_close(multiply(x).double(), exact, atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rows", [1, 2, 33])
def test_int8_multiplies_as_rounded_numbers_do(shape, rows):
    weight, x = drawn(*shape), drawn(rows, shape[1], seed=1) * 7
    expected = rounded(x, 63) @ rounded(weight, 127).T
    torch.testing.assert_close(alone(int8, weight)(x), expected.float(), atol=1e-3, rtol=1e-3)


def test_int8_does_not_overflow_where_all_products_are_largest():
    ones = torch.ones(3, 4096)
    torch.testing.assert_close(alone(int8, ones)(ones[:2]), torch.full((2, 3), 4096.0))
    torch.testing.assert_close(alone(int8, -ones)(ones[:2]), torch.full((2, 3), -4096.0))


def test_int8_gives_a_row_what_it_gives_it_alone():
    multiply, x = alone(int8, drawn(40, 64)), drawn(17, 64, seed=1)
    x[3] *= 1e6
    together = multiply(x)
    for row in range(len(x)):
        assert torch.equal(together[row], multiply(x[row : row + 1])[0])


def test_int8_keeps_zeros_and_nan():
    x = drawn(3, 64)
    x[0] = 0
    x[1, 5] = float("nan")
    y = alone(int8, drawn(40, 64))(x)
    assert (y[0] == 0).all()
    assert y[1].isnan().all()
    assert y[2].isfinite().all()


@pytest.mark.parametrize("variant", ["mixtral", "tied", "dense"])
def test_an_engine_in_int8_says_of_a_row_what_it_says_of_it_alone(variant, engine, prompts):
    eight = engine(variant, quantization="int8", max_batch_rows=8)
    params = SamplingParams(max_new_tokens=6)
    together = eight.generate(prompts, params)
    for prompt, completion in zip(prompts, together, strict=True):
        assert eight.generate([prompt], params)[0].token_ids == completion.token_ids


@pytest.mark.parametrize("variant", ["tied", "dense"])
def test_an_engine_in_int8_is_near_the_model_and_is_another(variant, engine, oracle, prompts):
    scored = engine(variant, quantization="int8", max_batch_rows=8).score(prompts, [[5], [6], [7]])
    for prompt, completion in zip(prompts, scored, strict=True):
        expected = oracle(variant).logits(prompt)[-1].log_softmax(-1)[5:8].tolist()
        assert completion.answer == pytest.approx(expected, abs=1.0)
        assert completion.answer != pytest.approx(expected, abs=1e-4)


def test_what_cannot_be_quantized_so_is_refused(monkeypatch):
    with pytest.raises(ValueError, match=r"int8 computes in float32 on CPUs, got torch\.bfloat16 on cpu"):
        layout_for(torch.bfloat16, CPU, "int8")
    with pytest.raises(ValueError, match=r"got torch\.float32 on cuda"):
        layout_for(torch.float32, torch.device("cuda"), "int8")
    with pytest.raises(ValueError, match="none or int8, got int4"):
        layout_for(torch.float32, CPU, "int4")
    monkeypatch.setattr(torch.backends.quantized, "engine", "qnnpack")
    with pytest.raises(ValueError, match="needs an x86 CPU"):
        layout_for(torch.float32, CPU, "int8")
