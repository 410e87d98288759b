"""Weights in 8 bits multiply as numbers do that are rounded one by one."""

import pytest
import torch

from model.linear.int8 import int8
from model.linear.panel_experts import panel_experts
from model.linear.panels import in_int8_panels, int8_panels, multiplies_int8
from model.sampling.sampling_params import SamplingParams
from tests.model.linear.weights import SHAPES, alone, drawn

# By FBGEMM, which rounds rows to 63 steps in each direction, and by the matrix units of a CPU that has them
LAYOUTS = pytest.mark.parametrize(
    ("layout", "steps"), [(int8, 63), (int8_panels, 127)], ids=["fbgemm", "amx"]
)


@pytest.fixture(autouse=True)
def _processor(request):
    if "amx" in request.node.name and not multiplies_int8():
        pytest.skip("no processor with AMX, or no C++ compiler")


def rounded(x: torch.Tensor, steps: int) -> torch.Tensor:
    """Each row in so many steps from 0 to its largest."""
    scale = x.abs().amax(-1, keepdim=True).double().clamp(min=1e-38) / steps
    return (x / scale).round() * scale


@LAYOUTS
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rows", [1, 2, 33])
def test_int8_multiplies_as_rounded_numbers_do(shape, rows, layout, steps):
    weight, x = drawn(*shape), drawn(rows, shape[1], seed=1) * 7
    expected = rounded(x, steps) @ rounded(weight, 127).T
    torch.testing.assert_close(alone(layout, weight)(x), expected.float(), atol=1e-3, rtol=1e-3)


@LAYOUTS
def test_int8_does_not_overflow_where_all_products_are_largest(layout, steps):
    ones = torch.ones(3, 4096)
    torch.testing.assert_close(alone(layout, ones)(ones[:2]), torch.full((2, 3), 4096.0))
    torch.testing.assert_close(alone(layout, -ones)(ones[:2]), torch.full((2, 3), -4096.0))


@LAYOUTS
def test_int8_gives_a_row_what_it_gives_it_alone(layout, steps):
    multiply, x = alone(layout, drawn(40, 64)), drawn(17, 64, seed=1)
    x[3] *= 1e6
    x[4] *= 1e-30
    together = multiply(x)
    for row in range(len(x)):
        assert torch.equal(together[row], multiply(x[row : row + 1])[0])


@LAYOUTS
def test_int8_keeps_zeros_and_nan(layout, steps):
    x = drawn(3, 64)
    x[0] = 0
    x[1, 5] = float("nan")
    y = alone(layout, drawn(40, 64))(x)
    assert (y[0] == 0).all()
    assert y[1].isnan().all()
    assert y[2].isfinite().all()


@pytest.mark.parametrize("widths", [(64, 96), (24, 13)])
def test_experts_by_amx_are_those_of_rounded_weights_and_rows(widths):
    width, hidden = widths
    w13, w2, x = drawn(2, 2 * hidden, width), drawn(2, width, hidden, seed=1), drawn(40, width, seed=2)
    tokens = torch.arange(40)
    found = panel_experts(w13, w2, in_int8_panels)(x, tokens, torch.tensor([17, 40], dtype=torch.int32))
    for expert, rows in enumerate((slice(0, 17), slice(17, 40))):
        gate, up = (rounded(x[rows], 127) @ rounded(w13[expert], 127).T).split(hidden, dim=1)
        expected = rounded(torch.nn.functional.silu(gate) * up, 127) @ rounded(w2[expert], 127).T
        # A hidden state may be rounded to the next step.
        torch.testing.assert_close(
            found[rows], expected.float(), atol=0.02 * float(expected.abs().max()), rtol=0
        )


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
