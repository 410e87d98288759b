"""Attention from the cache equals attention without one, whatever was in the cache before."""

import pytest
import torch

from model.attention.cached_attention import CachedAttention
from model.attention.decode_cpu import CpuDecode
from model.attention.decode_torch import TorchDecode
from model.requests.choice_scores import ChoiceScores
from model.requests.readout import Head
from model.scheduling.batch import Batch, Phase, Row, left_pad
from tests.model.execution.executor_of import executor_of

VARIANTS = ["mixtral", "one-kv-head", "wide-heads", "window", "dense-window"]
PAGES, PAGE_SIZE = 90, 4


@pytest.fixture(params=VARIANTS)
def variant(request):
    return request.param


@pytest.fixture(params=["compiled", "plain"])
def executor(request, variant, checkpoint):
    """Rows decode in the compiled kernel, or in torch's operators as where nothing can be compiled."""
    if request.param == "compiled" and not CpuDecode.is_compiled():
        pytest.skip("there is no C++ compiler")
    executor = executor_of(checkpoint(variant), PAGES, PAGE_SIZE)
    executor.cache.compiled = request.param == "compiled"
    for places in executor.cache.keys + executor.cache.values:
        places.fill_(float("nan"))  # what others left there must never be read
    return executor


def uncached(executor, token_ids):
    return executor.model(*left_pad([token_ids]))[0]


def scattered(lengths, spread):
    """Pages for rows of these lengths, in no order; a larger spread leaves more of others' in between."""
    order = torch.randperm(PAGES // spread, generator=torch.Generator().manual_seed(5)) * spread
    free = iter(order.tolist())
    return [[next(free) for _ in range(-(-length // PAGE_SIZE))] for length in lengths]


@pytest.mark.parametrize("spread", [1, 3])
def test_cached_equals_uncached(executor, spread, prompts):
    """Every position of every row: a part at prefill, the rest token by token, all rows together."""
    room = 9 if spread == 1 else 3
    prompts = prompts if spread == 1 else prompts[:5]
    generator = torch.Generator().manual_seed(5)
    rows = [prompt + torch.randint(0, 97, (room,), generator=generator).tolist() for prompt in prompts]
    expected = [uncached(executor, row) for row in rows]
    pages = scattered(map(len, rows), spread)

    prefill = [Row(Phase.PREFILL, slot, 0, prompt, pages[slot]) for slot, prompt in enumerate(prompts)]
    logits = executor.forward(Batch.of(prefill))[Head.VOCABULARY]
    for step in range(room):
        for row, prompt in enumerate(prompts):
            torch.testing.assert_close(logits[row], expected[row][len(prompt) + step - 1], atol=1e-4, rtol=0)
        decode = [
            Row(Phase.DECODE, slot, len(prompt) + step, [rows[slot][len(prompt) + step]], pages[slot])
            for slot, prompt in enumerate(prompts)
        ]
        logits = executor.forward(Batch.of(decode))[Head.VOCABULARY]
    for row in range(len(prompts)):
        torch.testing.assert_close(logits[row], expected[row][-1], atol=1e-4, rtol=0)


def test_rows_of_both_phases_in_one_batch(executor, prompts):
    """Decoding rows, a prompt, a prompt that is not kept, a tree, and a single token behind them all."""
    tree = ChoiceScores.of([[3, 4, 5], [3, 6]]).tree
    first, second, third, fourth, fifth, sixth = prompts[:6]
    pages = scattered([len(first) + 1, len(second) + 1, len(third), len(sixth)], 1)
    executor.forward(
        Batch.of([Row(Phase.PREFILL, 0, 0, first, pages[0]), Row(Phase.PREFILL, 1, 0, second, pages[1])])
    )
    for i, token in enumerate(sixth[:-1]):
        executor.forward(Batch.of([Row(Phase.DECODE, 5, i, [token], pages[3])]))
    rows = [
        Row(Phase.DECODE, 0, len(first), [7], pages[0]),
        Row(Phase.DECODE, 1, len(second), [8], pages[1]),
        Row(Phase.PREFILL, 2, 0, third, pages[2]),
        Row(Phase.PREFILL, 3, 0, fourth),
        Row(Phase.PREFILL, 4, 0, fifth, tree=tree),
        Row(Phase.DECODE, 5, len(sixth) - 1, sixth[-1:], pages[3]),
    ]
    logits = executor.forward(Batch.of(rows))[Head.VOCABULARY]
    trunks = [[*first, 7], [*second, 8], third, fourth, fifth, [*fifth, 3], [*fifth, 3, 4], sixth]
    for got, trunk in zip(logits, trunks, strict=True):
        torch.testing.assert_close(got, uncached(executor, trunk)[-1], atol=1e-4, rtol=0)


@pytest.mark.parametrize("chunk", [2, 7, 20])
def test_prompts_may_come_in_chunks(executor, chunk, prompts):
    """New tokens behind cached ones, with a window that ends before the chunk, within it or never."""
    prompt = max(prompts, key=len)
    expected = uncached(executor, prompt)
    (pages,) = scattered([len(prompt)], 1)
    for cached in range(0, len(prompt), chunk):
        row = Row(Phase.PREFILL, 0, cached, prompt[cached : cached + chunk], pages)
        (logits,) = executor.forward(Batch.of([row]))[Head.VOCABULARY]
        torch.testing.assert_close(logits, expected[cached + row.length - 1], atol=1e-4, rtol=0)


@pytest.mark.parametrize("cached", [0, 1, 20])
def test_a_tree_of_choices(executor, cached, prompts):
    """A node's logits are those behind the prompt and the node's own prefix; its siblings are unseen."""
    prompt = max(prompts, key=len)
    tree = ChoiceScores.of([[3, 4, 5, 6, 7, 8, 9], [3, 4, 50, 51], [60, 61]]).tree
    prefixes = [[3], [3, 4], [3, 4, 5], [3, 4, 5, 6], [3, 4, 5, 6, 7], [3, 4, 5, 6, 7, 8], [3, 4, 50], [60]]
    pages = scattered([len(prompt)], 1)[0] if cached else []
    if cached:
        executor.forward(Batch.of([Row(Phase.PREFILL, 0, 0, prompt[:cached], pages)]))
    rows = [
        Row(Phase.PREFILL, 0, cached, prompt[cached:], pages, tree),
        Row(Phase.PREFILL, 1, 0, [5], tree=tree),
    ]
    logits = executor.forward(Batch.of(rows))[Head.VOCABULARY].split(1 + len(tree.token_ids))
    for row, trunk in enumerate((prompt, [5])):
        for node, prefix in enumerate([[], *prefixes]):
            expected = uncached(executor, trunk + prefix)[-1]
            torch.testing.assert_close(logits[row][node], expected, atol=1e-4, rtol=0)


def test_prompts_of_one_token_with_and_without_an_empty_tree(executor):
    rows = [
        Row(Phase.PREFILL, 0, 0, [5], [3]),
        Row(Phase.PREFILL, 1, 0, [5]),
        Row(Phase.PREFILL, 2, 0, [5], tree=ChoiceScores.of([[1], [2]]).tree),
    ]
    logits = executor.forward(Batch.of(rows))[Head.VOCABULARY]
    expected = uncached(executor, [5])
    torch.testing.assert_close(logits, expected.expand(3, -1), atol=1e-5, rtol=0)


def test_one_new_token_at_a_time_from_the_first(executor):
    """No prefill at all: every token, the first too, takes the decode path, past the window's end."""
    row = torch.randint(0, 97, (15,), generator=torch.Generator().manual_seed(6)).tolist()
    expected = uncached(executor, row)
    (pages,) = scattered([len(row)], 1)
    batch = Batch.of([Row(Phase.DECODE, 0, 0, row[:1], pages)])
    kind = CpuDecode if executor.cache.compiled else TorchDecode
    assert type(CachedAttention.of(executor.cache, batch).reads) is kind
    for cached, token in enumerate(row):
        (logits,) = executor.forward(Batch.of([Row(Phase.DECODE, 0, cached, [token], pages)]))[
            Head.VOCABULARY
        ]
        torch.testing.assert_close(logits, expected[cached], atol=1e-4, rtol=0)
