"""Where the cache is too small for what rows turned out to need, rows compute their tokens once more."""

import numpy as np
import pytest

from model.engine import Engine
from model.requests.choice_scores import ChoiceScores
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams
from model.scheduling.prefill_budget import PrefillBudget

EXACT = ["tokens", "chosen", "pairs", "next_pairs", "repeat_first", "repeat_any"]


def ending_after(tokens):
    left = iter(range(tokens - 1, -1, -1))
    return lambda _: next(left) == 0


@pytest.mark.parametrize(("variant", "tokens"), [("mixtral", 96), ("dense", 96), ("window", 32)])
def test_tokens_and_counts_are_those_of_rows_that_run_alone(
    variant, tokens, checkpoint, oracle, prompts, monkeypatch
):
    """Short answers come first, so that too many of the long ones are let in."""
    monkeypatch.setattr("model.execution.options.page_size", lambda _: 4)
    engine = Engine.load(checkpoint(variant), threads=1, kv_cache_tokens=tokens)
    set_back, next_step = [], engine.scheduler.next_step

    def noted():
        step = next_step()
        set_back.extend(sequence.request.key for _, sequence in step.set_back)
        return step

    monkeypatch.setattr(engine.scheduler, "next_step", noted)
    lengths = [1, 1, 2, 2] + [30] * 6
    params = SamplingParams(max_new_tokens=40, logprobs=True, ignore_eos=True)
    requests = [
        Request(f"{i:02}", (prompts * 2)[i], params, should_stop=ending_after(length))
        for i, length in enumerate(lengths)
    ]
    completions = engine.run(requests)
    assert len(set_back) >= (1 if variant == "window" else 2)  # what is needed with a window is well known
    for request, length, completion in zip(requests, lengths, completions, strict=True):
        assert completion.token_ids == oracle(variant).generate(tuple(request.prompt_token_ids), length)
        alone = engine.generate([request.prompt_token_ids], SamplingParams(max_new_tokens=length))[0].routing
        if alone is None:
            continue
        for name in EXACT:
            np.testing.assert_array_equal(getattr(completion.routing, name), getattr(alone, name), name)
    if variant == "mixtral":
        computed = sum(one.routing.computed.sum() for one in completions)
        assert computed > sum(one.routing.tokens.sum() for one in completions)
    engine.close()


@pytest.mark.parametrize("variant", ["mixtral", "window"])
def test_prompts_in_parts_give_the_same_tokens_and_counts(variant, checkpoint, oracle, prompts, monkeypatch):
    monkeypatch.setattr("model.engine.STEP_TOKENS", 7)
    engine = Engine.load(checkpoint(variant), threads=1, max_batch_rows=4)
    whole = Engine.load(checkpoint(variant), threads=1, max_batch_rows=4)
    parts, forward = [], engine.ranks.forward

    def noted(batch):
        parts.extend(row.length for row in batch.rows if row.read_from is None)
        return forward(batch)

    monkeypatch.setattr(engine.ranks, "forward", noted)
    params = SamplingParams(max_new_tokens=8)
    whole.scheduler.budget = type(whole.scheduler.budget)(4096, 256, 10**6)
    for prompt, one, other in zip(
        prompts, engine.generate(prompts, params), whole.generate(prompts, params), strict=True
    ):
        assert one.token_ids == other.token_ids == oracle(variant).generate(tuple(prompt), 8)
        for name in [*EXACT, "computed"]:
            np.testing.assert_array_equal(getattr(one.routing, name), getattr(other.routing, name), name)
    assert len(parts) >= 8
    labels, choices = engine.score(prompts, [[5, 6], [7]]), whole.score(prompts, [[5, 6], [7]])
    for one, other in zip(labels, choices, strict=True):
        assert one.answer == pytest.approx(other.answer, abs=1e-4)
    engine.close()
    whole.close()


def hopeful(engine, monkeypatch):
    """An engine that expects every answer to end with its next token."""
    monkeypatch.setattr(
        engine.scheduler.running.lengths, "expected", lambda tokens, limit: min(limit, tokens + 1)
    )


def assert_same_as_alone(engine, requests, completions):
    engine.scheduler.shares = False
    for request, completion in zip(requests, completions, strict=True):
        [alone] = engine.run([request])
        assert completion.token_ids == alone.token_ids
        for name in EXACT:
            np.testing.assert_array_equal(
                getattr(completion.routing, name), getattr(alone.routing, name), name
            )


@pytest.mark.parametrize("tokens", [80, 96, 120])
@pytest.mark.parametrize("slots", [3, 6])
def test_whenever_it_happens_a_row_is_read_once_and_counted_once(
    tokens, slots, checkpoint, prompts, monkeypatch
):
    """Right behind its prompt, in the middle of it, with a prefix, or with one that is dropped at once."""
    monkeypatch.setattr("model.execution.options.page_size", lambda _: 4)
    monkeypatch.setattr("model.engine.STEP_TOKENS", 9)
    engine = Engine.load(checkpoint("mixtral"), threads=1, kv_cache_tokens=tokens, max_batch_rows=slots)
    hopeful(engine, monkeypatch)
    begins = [[], prompts[0][:13], [*prompts[0][:13], *prompts[1][:9]], prompts[2][:8]]
    requests = [
        Request(str(i), [*begins[i % 4], *prompts[i % 8][: 3 + i % 5]], SamplingParams(9 + 7 * (i % 4), 0.8))
        for i in range(16)
    ]
    unsent, done = [*requests], {}
    while unsent or not engine.idle:
        if unsent:
            engine.submit(unsent.pop(0))
        done.update((completion.key, completion) for completion in engine.step())
    assert_same_as_alone(engine, requests, [done[request.key] for request in requests])
    engine.close()


def test_a_label_that_began_in_parts_may_be_computed_whole_later(checkpoint, prompts, monkeypatch):
    monkeypatch.setattr("model.execution.options.page_size", lambda _: 4)
    engine = Engine.load(checkpoint("mixtral"), threads=1, kv_cache_tokens=64, max_batch_rows=3)
    hopeful(engine, monkeypatch)
    engine.scheduler.budget = PrefillBudget(most=64, beside=2, context=10**6)
    label = Request("label", max(prompts, key=len), readout=ChoiceScores.of([[5, 6], [7]]))
    set_back, next_step = [], engine.scheduler.next_step

    def noted():
        step = next_step()
        set_back.extend((sequence.request.key, sequence.cached) for _, sequence in step.set_back)
        return step

    monkeypatch.setattr(engine.scheduler, "next_step", noted)
    others = [Request(key, prompts[1][:9], SamplingParams(30), stream=key) for key in "ab"]
    for request in others:
        engine.submit(request)
    engine.step()
    engine.submit(label)
    done = {}
    while not engine.idle:
        done.update((completion.key, completion) for completion in engine.step())
    assert "label" in dict(set_back)
    assert_same_as_alone(engine, [label], [done["label"]])
    assert done["label"].answer == pytest.approx(engine.run([label])[0].answer, abs=1e-4)
    engine.close()
