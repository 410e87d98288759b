"""Workloads have the shapes that their figures are told with."""

from itertools import pairwise
from statistics import mean

import pytest
import torch

from benchmarks.floors import Floor
from benchmarks.ours import run_ours
from benchmarks.random_checkpoint import SIZES, write_checkpoint
from benchmarks.workload import Workload
from benchmarks.workloads import WORKLOADS
from model.config import ModelConfig
from model.engine import Engine

VOCABULARY = 32000
CONFIG = ModelConfig.from_dict(SIZES["tiny"])


def lengths(workload):
    return [len(prompt) for prompt in workload.prompts]


def beginnings(workload):
    return [tuple(prompt[:400]) for prompt in workload.prompts]


def test_documents_are_each_asked_eight_questions_in_no_order():
    shuffled = WORKLOADS["documents"](VOCABULARY, None)
    assert len(shuffled.prompts) == 160
    asked = beginnings(shuffled)
    assert [asked.count(document) for document in set(asked)] == [8] * 20
    own = [length - 400 for length in lengths(shuffled)]
    assert (min(own), max(own)) == (16, 32)
    assert mean(own) == pytest.approx(24, abs=1)
    assert mean(shuffled.new_tokens) == pytest.approx(16, abs=1)
    assert sum(one == other for one, other in pairwise(asked)) < 16, "neighbours are rarely of one document"


def test_documents_in_order_are_the_same_rows():
    shuffled, in_order = (WORKLOADS[name](VOCABULARY, None) for name in ("documents", "documents-in-order"))
    rows = [sorted(zip(each.prompts, each.new_tokens, strict=True)) for each in (shuffled, in_order)]
    assert rows[0] == rows[1]
    assert sum(one == other for one, other in pairwise(beginnings(in_order))) == 140


def test_documents_apart_have_the_same_lengths_and_nothing_in_common():
    shuffled, apart = (WORKLOADS[name](VOCABULARY, None) for name in ("documents", "documents-apart"))
    assert lengths(apart) == lengths(shuffled)
    assert apart.new_tokens == shuffled.new_tokens
    assert apart.repeated_tokens < 10
    assert shuffled.repeated_tokens == pytest.approx(140 * 400, abs=10)


def test_questions_are_asked_behind_each_document():
    workload = WORKLOADS["questions"](VOCABULARY, 3)
    assert [*map(len, workload.prompts)] == [300] * 3
    assert [(len(question.rest), len(question.choices)) for question in workload.questions] == [(15, 4)] * 8
    each = workload.each_question()
    assert [one.prompts[2][:300] for one in each] == [workload.prompts[2]] * 8
    assert {len(prompt) for one in each for prompt in one.prompts} == {315}
    assert workload.longest == 300 + 15 + 3
    floors = [Floor.of(one, CONFIG, torch.float32).operations for one in (workload, each[0])]
    assert floors[0] == pytest.approx((300 + 8 * 15) / 315 * floors[1], rel=0.01)


def test_what_prompts_begin_with_counts_once_for_the_floor():
    label = WORKLOADS["label"](VOCABULARY, None)
    assert label.repeated_tokens == pytest.approx(63 * 400, abs=5)
    floors = [
        Floor.of(WORKLOADS[name](256, 16), CONFIG, torch.float32).operations
        for name in ("documents", "documents-apart")
    ]
    assert floors[0] < 0.4 * floors[1]


def test_generous_rows_may_go_on_for_far_longer_than_they_do():
    workload = WORKLOADS["generous"](VOCABULARY, None)
    assert mean(workload.new_tokens) == pytest.approx(145, abs=1)
    assert {request.params.max_new_tokens for request in workload.requests()} == {4096}
    assert workload.cache_tokens == 40_000
    assert workload.longest > 4096


def test_generous_rows_end_where_they_are_drawn_to(tmp_path):
    write_checkpoint(tmp_path, "tiny")
    workload = Workload("small", [[5, 6, 7], [8]], [3, 9], allowed_tokens=50, cache_tokens=128)
    engine = Engine.load(tmp_path, threads=1, kv_cache_tokens=workload.cache_tokens)
    generated = run_ours(engine, workload).token_ids
    exactly = Workload("small", workload.prompts, workload.new_tokens)
    assert [len(tokens) for tokens in generated] == [3, 9]
    assert generated == run_ours(engine, exactly).token_ids
    engine.close()


def test_the_long_prompt_comes_last_and_fits_the_random_model():
    workload = WORKLOADS["long"](VOCABULARY, None)
    assert (len(workload.prompts), len(workload.prompts[-1]), workload.late) == (129, 32_768, 1)
    for name in WORKLOADS:
        assert WORKLOADS[name](256, 4).longest <= CONFIG.max_positions
