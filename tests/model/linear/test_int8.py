"""Weights in 8 bits multiply as numbers do that are rounded one by one."""

import pytest
import torch

from model.linear.int8 import int8
from model.sampling.sampling_params import SamplingParams
from tests.model.linear.weights import SHAPES, alone, drawn


def rounded(x: torch.Tensor, steps: int) -> torch.Tensor:
    """Each row in so many steps from 0 to its largest."""
    scale = x.abs().amax(-1, keepdim=True).double().clamp(min=1e-38) / steps
    return (x / scale).round() * scale


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
