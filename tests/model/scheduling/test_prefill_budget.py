"""Work of a step's prompts in tokens, where a long context counts."""

import pytest

from benchmarks.random_checkpoint import SIZES
from model.config import ModelConfig
from model.scheduling.prefill_budget import PrefillBudget

BUDGET = PrefillBudget(most=4096, beside=256, context=1000)


def test_slots_are_filled_first_and_then_few_tokens_go_beside_those_that_decode():
    assert [BUDGET.of_step(decoding, 128) for decoding in (0, 63, 64, 128)] == [4096, 4096, 256, 256]
    assert BUDGET.of_step(400, 512) == 800
    assert PrefillBudget(100, 256, 1000).of_step(128, 128) == 100


def test_a_token_counts_twice_where_attention_takes_as_long_as_the_rest():
    assert BUDGET.work(0, 10) == 10
    assert BUDGET.work(1000, 10) == 20
    assert [BUDGET.tokens(256, begin) for begin in (0, 1000, 31_000)] == [256, 128, 8]


def test_what_a_window_hides_takes_no_time():
    windowed = PrefillBudget(most=4096, beside=256, context=1000, window=1000)
    assert [windowed.work(begin, 10) for begin in (500, 1000, 31_000)] == [15, 20, 20]
    assert windowed.tokens(256, 31_000) == 128


@pytest.mark.parametrize("begin", [0, 100, 5000, 32_000])
def test_as_many_tokens_as_there_is_work_for(begin):
    tokens = BUDGET.tokens(256, begin)
    assert BUDGET.work(begin, tokens) == pytest.approx(256, rel=0.15)


def test_the_context_that_costs_as_much_as_the_weights_of_a_layer():
    """Mixtral-8x7B: 352 and 42 million weights a layer; 4 H hd operations for a token of the context."""
    config = ModelConfig.from_dict(SIZES["8x7b"])
    operations = 2 * (3 * 2 * 4096 * 14336 + 4096 * 128 * (2 * 32 + 2 * 8))
    assert PrefillBudget.of(config, 1, 1).context == operations // (4 * 32 * 128)
