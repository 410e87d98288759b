"""What runs in a step: nobody starves, pages are never short, and what is shared is computed once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.workloads import lognormal
from model.requests.request import Request, sharers_together
from model.sampling.sampling_params import SamplingParams
from model.scheduling.batch import Phase
from model.scheduling.prefill_budget import PrefillBudget
from model.scheduling.waiting_rows import MAX_OVERTAKING
from tests.model.scheduling.ran import BUDGET, PAGE_SIZE, PAGES, SCORES, Ran, add, request, scheduler_of

# Prompt tokens, new tokens (0: labelled), and up to what limit: within the cache.
ROWS = st.tuples(st.integers(1, 40), st.integers(0, 15), st.integers(0, 8))
PREFIXES = [[7] * 9, [7] * 12 + [8] * 5, [9] * 21]


@settings(max_examples=20, deadline=None)
@given(
    rows=st.lists(ROWS, max_size=14),
    slots=st.integers(1, 5),
    window=st.none() | st.integers(1, 26),
    data=st.data(),
)
def test_rows_of_any_size_all_run_once(rows, slots, window, data):
    """Rows come and end at any time, share beginnings or don't, and need less than they might."""
    scheduler = scheduler_of(slots, window=window)
    ran, unsent = Ran(scheduler), []
    for i, (prompt, new_tokens, more) in enumerate(rows):
        begin = data.draw(st.sampled_from([[], [], *PREFIXES]))
        tokens = [*begin, *([i + 10] * prompt)][:40]
        unsent.append(request(str(i), tokens, new_tokens, min(new_tokens + more, 24)))
    idle_steps = 0
    while unsent or not scheduler.idle:
        for _ in range(data.draw(st.integers(0, 4)) if unsent else 0):
            if unsent:
                add(scheduler, unsent.pop(0))
        step = ran.step()
        idle_steps = idle_steps + 1 if not step.rows and not scheduler.idle else 0
        assert idle_steps < 3, "something runs while rows wait"
        running = [*scheduler.running.rows.values()]
        if running and data.draw(st.integers(0, 5)) == 0:
            early = data.draw(st.sampled_from(running))
            scheduler.release(early)
            ran.finished.append(early.request.key)
    assert sorted(ran.finished) == sorted(str(i) for i in range(len(rows)))
    assert sorted(scheduler.running.free_slots) == [*range(slots)]
    assert sorted(scheduler.running.prefixes.free_slots) == [*range(slots, 2 * slots)]
    assert scheduler.running.pages.take(PAGES) == [*range(PAGES)]


def test_a_row_that_does_not_fit_is_overtaken_by_a_bounded_number():
    """Short rows use what a long one can't, but they can't keep it waiting for ever."""
    scheduler = scheduler_of(4)
    ran = Ran(scheduler)
    add(scheduler, request("first", 10, 2))
    ran.step()
    add(scheduler, request("long", PAGES * PAGE_SIZE - 3, 4))
    for i in range(3 * MAX_OVERTAKING):
        add(scheduler, request(f"short {i}", 2, 2 + i % 3))
    while "long" not in ran.begun:
        ran.step()
    assert MAX_OVERTAKING / 2 < len(ran.begun) <= MAX_OVERTAKING + 4
    assert len(ran.to_the_end().finished) == 2 + 3 * MAX_OVERTAKING


def test_a_long_prompt_is_computed_in_parts_beside_rows_that_decode():
    scheduler = scheduler_of(4, pages=200)
    ran = Ran(scheduler)
    for key in "ab":
        add(scheduler, request(key, 5, 90))
    ran.step()
    add(scheduler, request("long", 300, 2))
    parts = []
    while "long" not in ran.finished:
        step = ran.step()
        assert sum(row.phase is Phase.DECODE for row in step.rows) == 2 + (
            len(parts) > 0 and sum(parts) == 300
        )
        parts += [row.length for row in step.rows if row.phase is Phase.PREFILL]
    assert sum(parts) == 300
    assert {*parts[:-1]} == {BUDGET.beside}


def test_a_long_prompt_that_the_cache_can_not_hold_is_computed_whole():
    """A label needs no cache."""
    scheduler = scheduler_of(2, pages=4)
    add(scheduler, request("long", 300, 0))
    [row] = Ran(scheduler).step().rows
    assert row.length == 300 + len(SCORES.tree.token_ids)


@pytest.mark.parametrize("new_tokens", [0, 3])
def test_documents_and_questions(new_tokens):
    """Of 6 documents with 5 questions each every document is computed once; the cache holds two of them."""
    scheduler = scheduler_of(4, pages=24, budget=PrefillBudget(60, 60, 10**6))
    rows = [
        request(f"{document}/{question}", [document] * 30 + [50 + question] * 3, new_tokens)
        for question in range(5)
        for document in range(6)
    ]
    for row in sharers_together(rows):
        add(scheduler, row)
    ran = Ran(scheduler).to_the_end()
    own = 33 - 28 + max(0, new_tokens - 1)
    assert ran.computed == 6 * 28 + 30 * own
    assert len(ran.finished) == 30


def test_a_prefix_of_a_prefix_is_computed_once():
    scheduler = scheduler_of(8, pages=64)
    instruction, documents = [1] * 8, [[2] * 8, [3] * 8]
    rows = [
        request(f"{i}/{j}", [*instruction, *document, 60 + j], 1)
        for i, document in enumerate(documents)
        for j in range(3)
    ]
    rows.append(request("alone", [*instruction, 9, 9, 9, 9, 9], 1))
    for row in rows:
        add(scheduler, row)
    assert Ran(scheduler).to_the_end().computed == 8 + 8 + 8 + 6 + 5


def test_rows_that_need_less_than_they_might_run_together():
    """Each may need the whole cache, and needs a quarter: they run beside each other, and all end."""
    scheduler = scheduler_of(8, pages=40, budget=PrefillBudget(200, 200, 10**6))
    for i in range(24):
        add(scheduler, request(str(i), 4, 12, limit=150))
    ran, together = Ran(scheduler), []
    while not scheduler.idle:
        ran.step()
        together.append(len(scheduler.running.rows))
    assert len(ran.finished) == 24
    assert max(together) >= 7


def test_the_youngest_row_is_set_back_and_the_oldest_never():
    """The rows before made the scheduler expect short answers."""
    scheduler = scheduler_of(4, pages=12, budget=PrefillBudget(200, 200, 10**6))
    ran = Ran(scheduler)
    for i in range(4):
        add(scheduler, request(f"short {i}", 3, 1, limit=40))
    add(scheduler, request("kept busy", 2, 6))
    while len(ran.finished) < 4:
        ran.step()
    for i in range(4):
        add(scheduler, request(f"long {i}", 3, 30, limit=40))
    ran.to_the_end()
    assert ran.set_back > 0
    ended = [key for key in ran.finished if key.startswith("long")]
    assert ended == sorted(ended)


@pytest.mark.parametrize("tokens", [2048, 8192])
def test_live_tokens_fill_the_cache_on_a_lognormal_workload(tokens):
    """Of the cache, and of the pages taken, while rows still wait; slots are not what limits."""
    scheduler = scheduler_of(256, tokens // 32, 32, PrefillBudget(4096, 256, 10**6))
    for row in lognormal(1000, rows=600).requests():
        params = row.params
        add(
            scheduler,
            Request(
                row.key,
                row.prompt_token_ids,
                SamplingParams(params.max_new_tokens, seed=params.max_new_tokens, ignore_eos=True),
            ),
        )
    ran, of_cache, of_pages = Ran(scheduler), [], []
    while not scheduler.idle:
        ran.step()
        if scheduler.waiting:
            live = sum(sequence.cached for sequence in scheduler.running.rows.values())
            of_cache.append(live / tokens)
            of_pages.append(live / (tokens - scheduler.running.pages.free * 32))
    assert len(of_cache) > 50
    assert np.mean(of_cache) > 0.7
    assert np.mean(of_pages) > 0.8
