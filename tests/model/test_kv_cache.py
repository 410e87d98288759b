"""Attention from the cache equals attention without one, whatever was in the cache before."""

import pytest
import torch

from model.batch import Batch, Phase, Row, left_pad
from model.choices import ChoiceTree
from model.executor import Executor, ExecutorOptions
from model.parallel import TensorParallel

VARIANTS = ["mixtral", "one-kv-head", "wide-heads", "window", "dense-window"]
PLACES = 400


@pytest.fixture(params=VARIANTS)
def executor(request, checkpoint):
    options = ExecutorOptions(
        checkpoint(request.param),
        dtype=torch.float32,
        device=torch.device("cpu"),
        threads=1,
        slots=8,
        cache_tokens=PLACES,
        statistics=False,
    )
    executor = Executor(options, TensorParallel())
    for places in executor.cache.keys + executor.cache.values:
        places.fill_(1e4)  # what others left there must never be read
    return executor


def uncached(executor, token_ids):
    return executor.model(*left_pad([token_ids]))[0]


def segments(prompts, room):
    """Starts that leave gaps and are in no order."""
    starts, at = [0] * len(prompts), 7
    for row in reversed(range(len(prompts))):
        starts[row] = at
        at += len(prompts[row]) + room + 3
    assert at <= PLACES
    return starts


def test_cached_equals_uncached(executor, prompts):
    """Every position of every row: a part at prefill, the rest token by token, all rows together."""
    room = 9
    generator = torch.Generator().manual_seed(5)
    rows = [prompt + torch.randint(0, 97, (room,), generator=generator).tolist() for prompt in prompts]
    expected = [uncached(executor, row) for row in rows]
    starts = segments(prompts, room)

    prefill = [
        Row(slot, start, 0, prompt) for slot, (start, prompt) in enumerate(zip(starts, prompts, strict=True))
    ]
    logits = executor.forward(Batch.of(Phase.PREFILL, prefill))
    for step in range(room):
        for row, prompt in enumerate(prompts):
            torch.testing.assert_close(logits[row], expected[row][len(prompt) + step - 1], atol=1e-4, rtol=0)
        decode = [
            Row(slot, starts[slot], len(prompt) + step, [rows[slot][len(prompt) + step]])
            for slot, prompt in enumerate(prompts)
        ]
        logits = executor.forward(Batch.of(Phase.DECODE, decode))
    for row in range(len(prompts)):
        torch.testing.assert_close(logits[row], expected[row][-1], atol=1e-4, rtol=0)


@pytest.mark.parametrize("chunk", [2, 7, 20])
def test_prompts_may_come_in_chunks(executor, chunk, prompts):
    """New tokens behind cached ones, with a window that ends before the chunk, within it or never."""
    prompt = max(prompts, key=len)
    expected = uncached(executor, prompt)
    for cached in range(0, len(prompt), chunk):
        row = Row(0, 11, cached, prompt[cached : cached + chunk])
        (logits,) = executor.forward(Batch.of(Phase.PREFILL, [row]))
        torch.testing.assert_close(logits, expected[cached + row.length - 1], atol=1e-4, rtol=0)


@pytest.mark.parametrize("cached", [0, 1, 20])
def test_a_tree_of_choices(executor, cached, prompts):
    """A node's logits are those behind the prompt and the node's own prefix; its siblings are unseen."""
    prompt = max(prompts, key=len)
    tree = ChoiceTree.from_choices([[3, 4, 5, 6, 7, 8, 9], [3, 4, 50, 51], [60, 61]])
    prefixes = [[3], [3, 4], [3, 4, 5], [3, 4, 5, 6], [3, 4, 5, 6, 7], [3, 4, 5, 6, 7, 8], [3, 4, 50], [60]]
    if cached:
        executor.forward(Batch.of(Phase.PREFILL, [Row(0, 11, 0, prompt[:cached])]))
    rows = [Row(0, 11, cached, prompt[cached:], tree), Row(1, 100, 0, [5], tree)]
    logits = executor.forward(Batch.of(Phase.PREFILL, rows)).split(1 + len(tree.token_ids))
    for row, trunk in enumerate((prompt, [5])):
        for node, prefix in enumerate([[], *prefixes]):
            expected = uncached(executor, trunk + prefix)[-1]
            torch.testing.assert_close(logits[row][node], expected, atol=1e-4, rtol=0)


def test_prompts_of_one_token_with_and_without_an_empty_tree(executor):
    rows = [Row(0, 0, 0, [5]), Row(1, 50, 0, [5], ChoiceTree.from_choices([[1], [2]]))]
    logits = executor.forward(Batch.of(Phase.PREFILL, rows))
    expected = uncached(executor, [5])
    torch.testing.assert_close(logits, expected.expand(2, -1), atol=1e-5, rtol=0)


def test_one_new_token_at_a_time_from_the_first(executor):
    """No prefill at all: every token, the first too, takes the decode path, past the window's end."""
    row = torch.randint(0, 97, (15,), generator=torch.Generator().manual_seed(6)).tolist()
    expected = uncached(executor, row)
    for cached, token in enumerate(row):
        (logits,) = executor.forward(Batch.of(Phase.DECODE, [Row(0, 30, cached, [token])]))
        torch.testing.assert_close(logits, expected[cached], atol=1e-4, rtol=0)
