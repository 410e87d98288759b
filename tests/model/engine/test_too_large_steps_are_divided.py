"""What memory does not suffice for at once is run in parts, down to a row that fails alone."""

import random

import numpy as np
import pytest
import torch

from model.engine import Engine
from model.execution.executor import BatchTooLargeError
from model.execution.step_size import GROWS_AFTER
from model.requests.choice_scores import ChoiceScores
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams

NEW_TOKENS = 6


def test_steps_are_divided_and_a_row_that_fails_alone_ends_alone(checkpoint, oracle, prompts, monkeypatch):
    engine = Engine.load(checkpoint("mixtral"), threads=1, max_batch_rows=8)
    params = SamplingParams(max_new_tokens=NEW_TOKENS)
    undisturbed = engine.generate(prompts, params)
    longest = max(map(len, prompts))
    room, hidden, steps = longest - 1, engine.ranks.local.model.hidden, []

    def in_little_memory(token_ids, *rest):
        steps.append(len(token_ids))
        if len(token_ids) > room:
            # late in the step, when layers have been observed and the cache is written
            hidden(token_ids, *rest)
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return hidden(token_ids, *rest)

    monkeypatch.setattr(engine.ranks.local.model, "hidden", in_little_memory)
    completions = engine.generate(prompts, params)
    assert any(step > room for step in steps)
    for prompt, completion, before in zip(prompts, completions, undisturbed, strict=True):
        assert completion.failure == ("out_of_memory" if len(prompt) == longest else None)
        if completion.failure:
            assert completion.token_ids == []
        else:
            assert completion.token_ids == oracle("mixtral").generate(tuple(prompt), NEW_TOKENS)
            np.testing.assert_array_equal(completion.routing.chosen, before.routing.chosen)
            np.testing.assert_array_equal(completion.routing.tokens, before.routing.tokens)
    assert engine.idle
    engine.close()


def test_one_prompt_that_does_not_fit_beside_others_costs_one_failed_step(checkpoint, monkeypatch, caplog):
    """It is set aside; the others decode together as before, while it runs and when it is gone."""
    engine = Engine.load(checkpoint("mixtral"), threads=1, max_batch_rows=64)
    forward, ran, failed = engine.ranks.forward, [], []

    def with_little_memory(batch):
        if any(row.length > 60 for row in batch.rows) and len(batch.rows) > 1:
            failed.append(len(batch.rows))
            raise BatchTooLargeError
        ran.append(len(batch.rows))
        return forward(batch)

    monkeypatch.setattr(engine.ranks, "forward", with_little_memory)
    for i in range(63):
        engine.submit(Request(str(i), [5] * 10, SamplingParams(max_new_tokens=80, ignore_eos=True)))
    while engine.scheduler.waiting:
        engine.step()
    ran.clear()
    engine.submit(Request("long", [5] * 80, SamplingParams(max_new_tokens=3, ignore_eos=True)))
    for _ in range(4):
        engine.step()
    assert (failed, ran) == ([64], [63, 1, 64, 64, 63])
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "did not suffice for 64 rows with 143 tokens in one step" in caplog.text
    engine.close()


def test_a_divided_step_grows_back(checkpoint, monkeypatch, caplog):
    engine = Engine.load(checkpoint("mixtral"), threads=1, max_batch_rows=8)
    forward, room, ran = engine.ranks.forward, [2], []

    def with_room(batch):
        tokens = sum(row.length for row in batch.rows)
        ran.append((len(batch.rows), tokens <= room[0]))
        if tokens > room[0]:
            raise BatchTooLargeError
        return forward(batch)

    monkeypatch.setattr(engine.ranks, "forward", with_room)
    for i in range(8):
        engine.submit(Request(str(i), [5], SamplingParams(max_new_tokens=90, ignore_eos=True)))
    engine.step()
    assert ran == [(8, False), (4, False), *[(2, True)] * 4]
    engine.step()
    assert ran[6:] == [(2, True)] * 4, "later steps begin with what worked"
    room[0] = 8
    for _ in range(GROWS_AFTER // 4 + GROWS_AFTER // 2):
        engine.step()
    assert ran[-1] == (8, True)
    assert [record.levelname for record in caplog.records] == ["WARNING"], "said once a minute"
    engine.close()


def test_whatever_fails_every_row_says_the_same(checkpoint, prompts, monkeypatch):
    loaded = Engine.load(checkpoint("mixtral"), threads=1, max_batch_rows=6, kv_cache_tokens=400)
    scores = ChoiceScores.of([[3, 4, 5], [3, 7]])
    dice, forward, failed = random.Random(0), loaded.ranks.forward, []

    def fails_by_chance(batch):
        tokens = sum(row.length for row in batch.rows)
        if len(batch.rows) > 1 and dice.random() < tokens / 20:
            failed.append(tokens)
            raise BatchTooLargeError
        return forward(batch)

    for _ in range(3):
        requests = [
            Request(str(i), prompt, readout=scores)
            if dice.random() < 0.3
            else Request(str(i), prompt, SamplingParams(dice.randrange(1, 24), temperature=0.7))
            for i, prompt in enumerate(prompts)
        ]
        undisturbed = loaded.run(requests)
        with monkeypatch.context() as patch:
            patch.setattr(loaded.ranks, "forward", fails_by_chance)
            disturbed = loaded.run(requests)
        for before, after in zip(undisturbed, disturbed, strict=True):
            assert (after.token_ids, after.failure) == (before.token_ids, None)
            if not before.token_ids:
                assert after.answer == pytest.approx(before.answer, abs=1e-4)
            np.testing.assert_array_equal(after.routing.tokens, before.routing.tokens)
    assert len(failed) > 3
    assert loaded.idle
    loaded.close()


def test_nothing_is_left_of_a_prefix_that_fails_in_its_second_part(checkpoint, prompts, monkeypatch):
    """The rows that read it fail. What its first part counted is not counted for the next one."""
    monkeypatch.setattr("model.execution.options.page_size", lambda _: 4)
    monkeypatch.setattr("model.engine.STEP_TOKENS", 8)
    engine = Engine.load(checkpoint("mixtral"), threads=1, max_batch_rows=4)
    forward, params = engine.ranks.forward, SamplingParams(max_new_tokens=NEW_TOKENS)
    document = max(prompts, key=len)[:12]

    def fails_in_second_parts(batch):
        if any(row.read_from is None and row.cached for row in batch.rows):
            running.append(len(engine.scheduler.running.rows))
            raise BatchTooLargeError
        return forward(batch)

    running = []
    with monkeypatch.context() as patch:
        patch.setattr(engine.ranks, "forward", fails_in_second_parts)
        failed = engine.generate([[*document, 5], [*document, 6]], params)
    assert [one.failure for one in failed] == ["out_of_memory"] * 2
    assert running[0] == 2, "no row is left that has the prefix"
    rows = [[*document[:8], *prompt] for prompt in prompts[:4]]
    together = engine.generate(rows, params)
    for row, one in zip(rows, together, strict=True):
        [alone] = engine.generate([row], params)
        assert one.token_ids == alone.token_ids
        np.testing.assert_array_equal(one.routing.chosen, alone.routing.chosen)
        np.testing.assert_array_equal(one.routing.tokens, alone.routing.tokens)
    assert engine.scheduler.running.pages.free == engine.scheduler.running.pages.pages
    engine.close()
