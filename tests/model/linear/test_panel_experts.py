import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.kernels.compiled_kernels import compiled_operators
from model.kernels.route import route
from model.kernels.swish import swish_product
from model.linear.panel_experts import panel_experts

pytestmark = pytest.mark.skipif(compiled_operators() is None, reason="there is no C++ compiler")


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from([0, 1, 9, 64, 200]),
    st.sampled_from([(8, 2), (3, 1)]),
    st.sampled_from([(32, 48), (24, 13), (5, 8)]),
    st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_each_assignment_has_its_expert_s_output(tokens, experts, widths, dtype):
    (count, num_chosen), (width, hidden) = experts, widths
    generator = torch.Generator().manual_seed(tokens)
    w13, w2, x, logits = (
        torch.randn(*shape, generator=generator)
        for shape in ((count, 2 * hidden, width), (count, width, hidden), (tokens, width), (tokens, count))
    )
    w13, w2, x = (w13 / 5).to(dtype), (w2 / 5).to(dtype), x.to(dtype)
    routed = route(logits, num_chosen)
    outputs = panel_experts(w13, w2)(x, routed.tokens, routed.ends)
    assert (outputs.dtype, outputs.shape) == (dtype, (tokens * num_chosen, width))
    for token in range(tokens):
        for k in range(num_chosen):
            expert = routed.chosen[token, k]
            gated = swish_product((w13[expert].double() @ x[token].double())[None])[0]
            expected = w2[expert].double() @ gated
            tolerance = 1e-4 if dtype is torch.float32 else 3e-2
            found = outputs[routed.places[token, k]].double()
            torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)
