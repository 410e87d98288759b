"""Which experts' hidden states are computed together, and that it changes nothing."""

from itertools import chain, pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.config import ModelConfig
from model.kernels.kernels import PLAIN
from model.kernels.swish import swish_product
from model.linear.grid import quantized_grid
from model.linear.held import Unpacked, multiply_held
from model.linear.int8 import int8
from model.linear.layout import plain
from model.linear.packed import packed
from model.network.experts import Experts, group_small_experts
from model.network.tensor_parallel import TensorParallel


def assignments(chosen):
    """Sorted experts [n] of tokens, one each -> tokens [n], ends [E]"""
    return torch.arange(len(chosen)), torch.searchsorted(chosen, torch.arange(8), right=True).int()


@given(st.lists(st.sampled_from([0, 0, 1, 5, 40]), min_size=1, max_size=9), st.sampled_from([0, 5, 45, 90]))
def test_each_expert_is_in_one_group_in_order_and_no_more_rows_than_fit(sizes, most):
    groups = group_small_experts(sizes, most)
    assert [sum(of_expert) for of_expert in zip(*groups, strict=True)] == sizes
    experts = [[expert for expert, size in enumerate(group) if size] for group in groups]
    assert all(experts) or not any(sizes)
    assert list(chain(*experts)) == [expert for expert, size in enumerate(sizes) if size]
    fits = [sum(group) <= most for group in groups]
    assert all(fit or len(of_group) == 1 for fit, of_group in zip(fits, experts, strict=True))
    for (group, _), (_, next_experts) in pairwise(zip(groups, experts, strict=True)):
        assert sum(group) + sizes[next_experts[0]] > most, "one more would have fitted"


@pytest.mark.parametrize("layout", [plain, packed, int8])
def test_how_many_are_grouped_changes_nothing(layout, checkpoint, monkeypatch):
    config = ModelConfig.from_folder(checkpoint("mixtral"))
    generator = torch.Generator().manual_seed(3)
    experts = Experts(0, config, TensorParallel())
    for weight in (experts.gate, experts.w13, experts.w2):
        weight.normal_(std=0.1, generator=generator)
    chosen = torch.tensor([0] * 5 + [2] * 40 + [3, 6, 6], dtype=torch.int64)
    x = torch.randn(len(chosen), config.dim, generator=generator)
    one_by_one = [
        experts.w2[expert] @ swish_product(experts.w13[expert] @ row)
        for expert, row in zip(chosen.tolist(), x, strict=True)
    ]
    experts.lay_out(layout)

    def taking(most: int) -> torch.Tensor:
        monkeypatch.setattr("model.network.experts._MOST_HIDDEN", most * experts.hidden_width)
        return experts.run_by_expert(x, *assignments(chosen), PLAIN)

    exact = 1e-5 if layout is not int8 else 0.05
    torch.testing.assert_close(taking(0), torch.stack(one_by_one), atol=exact, rtol=exact)
    assert torch.equal(taking(0), taking(10))
    assert torch.equal(taking(0), taking(100))


@pytest.mark.parametrize("at_a_time", [2, 1 << 15])
def test_grouped_experts_equal_one_after_the_other(engine, at_a_time, monkeypatch):
    monkeypatch.setattr("model.network.experts._GROUPED", at_a_time)
    loaded = engine("mixtral", quantization="none")
    generator = torch.Generator().manual_seed(3)
    experts = Experts(0, loaded.config, loaded.ranks.local.model.tp)
    for weight in (experts.gate, experts.w13, experts.w2):
        weight.normal_(generator=generator)
    for expert_of_tokens in ([0, 0, 3, 5, 5, 5, 7], [2], [0] * 4, [7] * 3, []):
        chosen = torch.tensor(expert_of_tokens, dtype=torch.int64)
        x = torch.randn(len(chosen), loaded.config.dim, generator=generator)
        grouped = experts.run_grouped(x, *assignments(chosen), PLAIN)
        if len(chosen):
            expected = experts.run_by_expert(x, *assignments(chosen), PLAIN)
            torch.testing.assert_close(grouped, expected, atol=1e-4, rtol=1e-4)


def test_experts_in_few_bits_that_one_kernel_reads_wait_for_nothing(checkpoint):
    pytest.importorskip("triton", reason="there are no wheels of it for this machine")
    from model.linear.triton_held import TritonHeld

    config = ModelConfig.from_folder(checkpoint("mixtral"))
    chosen = torch.tensor([0] * 5 + [2] * 20 + [3, 6, 6], dtype=torch.int64)
    x = torch.randn(len(chosen), config.dim, generator=torch.Generator().manual_seed(3))
    outputs = []
    for held in (TritonHeld.of, Unpacked):
        generator = torch.Generator().manual_seed(4)
        experts = Experts(0, config, TensorParallel())
        for weight in (experts.gate, experts.w13, experts.w2):
            weight.normal_(std=0.1, generator=generator)

        def lay_out(weights, held=held):
            return multiply_held([held(quantized_grid(weight, 4, 8)) for weight in weights])

        experts.lay_out(lay_out)
        assert experts.is_sync_free == (held is not Unpacked)
        run = experts.run_grouped if experts.is_sync_free else experts.run_by_expert
        outputs.append(run(x, *assignments(chosen), PLAIN))
    torch.testing.assert_close(*outputs, atol=1e-5, rtol=1e-5)
