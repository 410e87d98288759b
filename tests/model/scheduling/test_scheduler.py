"""Admission: nothing is preempted, nobody starves, and the cache is well used."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.workloads import lognormal
from model.requests.next_token import NextTokenReading
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams
from model.scheduling.scheduler import MAX_OVERTAKING, Scheduler

PAGES, PAGE_SIZE, PREFILL = 16, 4, 24


def request(key, prompt, new_tokens):
    return Request(key, [0] * prompt, SamplingParams(max_new_tokens=new_tokens))


def add(scheduler, request):
    scheduler.add(request, NextTokenReading(request.wanted, stream=0, eos_token_ids=()))


def step(scheduler):
    """What the engine does with a step, without a model; the rows prefilled, and those that have ended."""
    decoding, admitted = scheduler.next_step()
    for sequence in (*decoding, *admitted):
        sequence.cached += 1 if sequence in decoding else len(sequence.request.prompt_token_ids)
        sequence.reading.answer.token_ids.append(0)
        if sequence.request.cache_tokens:
            assert len(sequence.pages) == -(-sequence.cached // scheduler.page_size)
    ended = [
        s
        for s in (*decoding, *admitted)
        if len(s.reading.answer.token_ids) == s.request.params.max_new_tokens
    ]
    for sequence in ended:
        scheduler.release(sequence)
    return admitted, ended


ROWS = st.tuples(st.integers(1, 50), st.integers(1, 15))  # prompt tokens, new tokens: within the cache


@settings(max_examples=15, deadline=None)
@given(rows=st.lists(ROWS, max_size=12), slots=st.integers(1, 5), data=st.data())
def test_rows_of_any_size_all_run_once(rows, slots, data):
    """Rows come and end at any time; those that run always get their pages."""
    scheduler = Scheduler(slots, PAGES, PAGE_SIZE, PREFILL)
    unsent = [request(str(i), *row) for i, row in enumerate(rows)]
    waiting, finished = [], []
    while unsent or not scheduler.idle:
        for _ in range(data.draw(st.integers(0, 4)) if unsent else 0):
            if unsent:
                waiting.append(unsent[0].key)
                add(scheduler, unsent.pop(0))
        admitted, ended = step(scheduler)
        finished += [sequence.request.key for sequence in ended]
        waiting = [key for key in waiting if key not in {s.request.key for s in admitted}]
        running = [*scheduler.running.values()]
        assert admitted or ended or running or not waiting, "an empty engine must take the next row"

        lengths = [len(sequence.request.prompt_token_ids) for sequence in admitted]
        assert max(lengths, default=0) < 2 * min(lengths, default=1)
        assert len(lengths) <= 1 or sum(lengths) <= PREFILL
        taken = [page for sequence in running for page in sequence.pages]
        assert len(taken) == len(set(taken)) == PAGES - scheduler.pages.free
        assert {sequence.slot for sequence in running} == set(scheduler.running) <= {*range(slots)}
        if running and data.draw(st.booleans()):
            early = data.draw(st.sampled_from(running))
            scheduler.release(early)
            finished.append(early.request.key)
    assert sorted(finished) == sorted(str(i) for i in range(len(rows)))
    assert sorted(scheduler.free_slots) == [*range(slots)]
    assert scheduler.pages.take(PAGES) == [*range(PAGES)]


def test_a_row_that_does_not_fit_is_overtaken_by_a_bounded_number():
    """Short rows use what a long one can't, but they can't keep it waiting for ever."""
    scheduler = Scheduler(4, PAGES, PAGE_SIZE, PREFILL)
    add(scheduler, request("first", 10, 2))
    step(scheduler)
    add(scheduler, request("long", PAGES * PAGE_SIZE - 3, 4))
    before = []
    for i in range(3 * MAX_OVERTAKING):
        add(scheduler, request(f"short {i}", 2, 2 + i % 3))
    while "long" not in before:
        before += [sequence.request.key for sequence in step(scheduler)[0]]
    assert MAX_OVERTAKING / 2 < len(before) <= MAX_OVERTAKING + 1
    while not scheduler.idle:
        before += [sequence.request.key for sequence in step(scheduler)[0]]
    assert len(before) == 1 + 3 * MAX_OVERTAKING


def test_a_prompt_beyond_the_prefill_budget_goes_alone():
    scheduler = Scheduler(4, PAGES, PAGE_SIZE, prefill_tokens=8)
    for key in "abc":
        add(scheduler, request(key, 9, 1))
    assert [len(step(scheduler)[0]) for _ in range(4)] == [1, 1, 1, 0]


@pytest.mark.parametrize("tokens", [2048, 8192])
def test_live_tokens_fill_the_cache_on_a_lognormal_workload(tokens):
    """Of the cache, and of the pages taken, while rows still wait; slots are not what limits."""
    scheduler = Scheduler(256, tokens // 32, 32, 4096)
    for row in lognormal(1000, rows=600).requests():
        add(scheduler, row)
    of_cache, of_pages = [], []
    while not scheduler.idle:
        step(scheduler)
        if scheduler.waiting:
            live = sum(sequence.cached for sequence in scheduler.running.values())
            of_cache.append(live / tokens)
            of_pages.append(live / (tokens - scheduler.pages.free * 32))
    assert len(of_cache) > 50
    assert np.mean(of_cache) > 0.7
    assert np.mean(of_pages) > 0.8
