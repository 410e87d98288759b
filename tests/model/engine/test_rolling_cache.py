"""Rows many times as long as the sliding window: what transformers gives, in the memory of a window."""

import pytest
import torch

from model.engine import Engine
from model.requests.choice_scores import ChoiceScores
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams

WINDOWS = {"rolling": 16, "dense-rolling": 20}
PAGE = 8
PART = 24  # tokens of prompts that a step computes at most: more than a window, so that parts leave some out
CHOICES = [[5, 6, 7], [5, 8], [9], [30, 31]]


def prompt_of(tokens, seed=0):
    return torch.randint(0, 97, (tokens,), generator=torch.Generator().manual_seed(seed)).tolist()


@pytest.fixture
def rolling(checkpoint, monkeypatch):
    """A variant's name and options -> an engine with small pages and parts, and the most pages in use."""
    monkeypatch.setattr("model.execution.options.page_size", lambda _: PAGE)
    monkeypatch.setattr("model.engine.STEP_TOKENS", PART)
    loaded = []

    def load(variant, **options):
        engine = Engine.load(checkpoint(variant), threads=1, **options)
        loaded.append(engine)
        return engine

    yield load
    for engine in loaded:
        pages = engine.scheduler.running.pages
        engine.close()
        assert pages.free + engine.scheduler.running.prefixes.unread == pages.pages, "all are given back"


def most_pages(engine, run, *arguments):
    """The most pages that are in use while it runs."""
    pages, most = engine.scheduler.running.pages, 0
    take = pages.take

    def noted(count):
        nonlocal most
        taken = take(count)
        most = max(most, pages.pages - pages.free)
        return taken

    pages.take = noted
    run(*arguments)
    del pages.take
    return most


@pytest.mark.parametrize("variant", WINDOWS)
def test_generations_equal_transformers_up_to_twenty_windows(variant, rolling, oracle):
    """Rows of several lengths beside each other, in a cache that could not hold the longest."""
    prompts = [prompt_of(n * WINDOWS[variant] + n % 3 - 1, n) for n in (1, 2, 5, 20)]
    engine = rolling(variant, kv_cache_tokens=160)
    completions = engine.generate(prompts, SamplingParams(max_new_tokens=WINDOWS[variant]))
    for prompt, completion in zip(prompts, completions, strict=True):
        assert completion.token_ids == oracle(variant).generate(tuple(prompt), WINDOWS[variant])


@pytest.mark.parametrize("variant", WINDOWS)
def test_choices_behind_prompts_of_many_windows_equal_transformers(variant, rolling, oracle):
    engine = rolling(variant, kv_cache_tokens=160)
    prompts = [prompt_of(n * WINDOWS[variant] + 3, n) for n in (1, 4, 20)]
    for prompt, completion in zip(prompts, engine.score(prompts, CHOICES), strict=True):
        for choice, logprob in zip(CHOICES, completion.answer, strict=True):
            logits = oracle(variant).logits([*prompt, *choice])[len(prompt) - 1 : -1].log_softmax(-1)
            expected = sum(logits[i, token].item() for i, token in enumerate(choice))
            assert logprob == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("variant", ["window-of-one", "window-beyond"])
def test_windows_at_both_ends(variant, rolling, oracle):
    """A token that sees itself alone, and one that sees all that a row may hold.

    Beside transformers' forward pass: its cache of a window of one keeps all tokens.
    """
    engine, prompts = rolling(variant, kv_cache_tokens=112), [prompt_of(n, n) for n in (1, 7, 9, 60)]
    answers = engine.generate(prompts, SamplingParams(max_new_tokens=30))
    for prompt, completion in zip(prompts, answers, strict=True):
        logits = oracle(variant).logits([*prompt, *completion.token_ids])[len(prompt) - 1 : -1]
        assert completion.token_ids == logits.argmax(-1).tolist()
    for prompt, completion in zip(prompts, engine.score(prompts, CHOICES), strict=True):
        for choice, logprob in zip(CHOICES, completion.answer, strict=True):
            logits = oracle(variant).logits([*prompt, *choice])[len(prompt) - 1 : -1].log_softmax(-1)
            expected = sum(logits[i, token].item() for i, token in enumerate(choice))
            assert logprob == pytest.approx(expected, abs=1e-4)
    most = SamplingParams(max_new_tokens=80, ignore_eos=True)
    pages = most_pages(engine, engine.generate, [prompts[2]], most)
    assert pages == (2 if variant == "window-of-one" else (9 + 80) // PAGE), (
        "of the prompt, and of all tokens"
    )


def test_log_probabilities_over_twenty_windows_equal_transformers(rolling, oracle):
    variant, window = "dense-rolling", WINDOWS["dense-rolling"]
    engine, params = rolling(variant), SamplingParams(max_new_tokens=19 * window, logprobs=True)
    [completion] = engine.generate([prompt_of(window)], params)
    logits = oracle(variant).logits([*prompt_of(window), *completion.token_ids])[window - 1 : -1]
    expected = logits.log_softmax(-1)[range(19 * window), completion.token_ids]
    torch.testing.assert_close(torch.tensor(completion.logprobs), expected, atol=1e-4, rtol=0)


def test_pages_in_use_are_as_many_at_twenty_windows_as_at_one(rolling):
    window, in_a_window = WINDOWS["rolling"], 3  # pages, wherever it begins
    engine, lengths = rolling("rolling"), (1, 2, 3, 5, 20)
    decoding, prompts, labels = [], [], []
    for prompt, tokens in ((prompt_of(n * window), n * window) for n in lengths):
        most = SamplingParams(max_new_tokens=tokens, ignore_eos=True)
        decoding.append(most_pages(engine, engine.generate, [prompt[:window]], most))
        prompts.append(most_pages(engine, engine.generate, [prompt], SamplingParams(2)))
        labels.append(most_pages(engine, engine.score, [prompt], CHOICES))
    assert decoding == [in_a_window] * len(lengths)
    assert max(prompts + labels) == 2 * in_a_window, "while a part is computed, its window and the one before"
    assert prompts[2:] == labels[2:] == [2 * in_a_window] * 3


def test_rows_that_are_set_back_and_share_prefixes_give_the_same(rolling, oracle, monkeypatch):
    """In a cache for hardly two rows, where each is expected to end at once; twice, with the same bits."""
    engine, window = rolling("rolling", kv_cache_tokens=96), WINDOWS["rolling"]
    lengths = engine.scheduler.running.lengths
    monkeypatch.setattr(lengths, "expected", lambda tokens, limit: min(limit, tokens + 1))
    set_back, next_step = [], engine.scheduler.next_step

    def noted():
        step = next_step()
        set_back.extend(sequence.request.key for _, sequence in step.set_back)
        return step

    monkeypatch.setattr(engine.scheduler, "next_step", noted)
    begin = prompt_of(window + 5, 77)
    params = SamplingParams(max_new_tokens=2 * window, logprobs=True)
    prompts = [[*begin, *prompt_of(2 + 9 * i, i)] if i % 2 else prompt_of(2 + i, i) for i in range(6)]
    requests = [Request(str(i), prompt, params) for i, prompt in enumerate(prompts)]
    label = [*begin, *prompt_of(40)]
    requests.append(Request("label", label, readout=ChoiceScores.of(CHOICES)))
    completions, again = engine.run(requests), engine.run(requests)
    assert len(set_back) >= 2
    assert any(one.shared_routing for one in completions)
    for prompt, one, other in zip(prompts, completions, again, strict=False):
        assert one.token_ids == oracle("rolling").generate(tuple(prompt), 2 * window)
        assert one.logprobs == other.logprobs
    alone = rolling("rolling").score([label], CHOICES)[0].answer
    assert completions[-1].answer == again[-1].answer == pytest.approx(alone, abs=1e-4)
