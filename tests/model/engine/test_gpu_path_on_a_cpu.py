"""What runs on a GPU, on a CPU: Triton's interpreter, plain functions for torch's own kernels, no capture.

The engine around them is the same, so that its tokens, scores and counts are held to transformers' and to the
plain path's. On a GPU itself: tests/gpu.
"""

import numpy as np
import pytest

import model.execution.decode_graphs
from model.engine import Engine
from model.requests.choice_scores import ChoiceScores
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams
from tests.model.attention.plain_flash import plain_flash

pytest.importorskip("triton", reason="there are no wheels of it for this machine")

# The interpreter takes its time for every token of every layer.
NEW_TOKENS = 4
PROMPT_LENGTHS = (1, 2, 3, 5, 9, 14)  # beyond the window, and with an answer beyond a page
VARIANTS = [
    "mixtral",
    "window",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("wide-heads", "one-kv-head", "dense")),
]
COUNTS = ["tokens", "computed", "chosen", "pairs", "next_pairs", "repeat_first", "repeat_any"]


@pytest.fixture
def gpu_engine(monkeypatch, checkpoint):
    """A variant's name and options -> its engine on the GPU's path, which engines take from then on."""

    def load(variant, **options):
        monkeypatch.setattr("model.attention.flash.what_flash_lacks", lambda *_: None)
        monkeypatch.setattr("model.network.experts.has_grouped_matmul", lambda *_: True)
        monkeypatch.setattr("model.execution.executor.layout_for", lambda *_: None)
        monkeypatch.setattr("model.attention.prefill_flash.flash", plain_flash)
        monkeypatch.setattr("model.attention.cached_groups.flash", plain_flash)
        monkeypatch.setattr(
            "model.execution.decode_graphs.DecodeGraphs._capture", lambda self, compute: compute
        )
        loaded = Engine.load(checkpoint(variant), threads=1, **options)
        for pages in loaded.ranks.local.cache.keys + loaded.ranks.local.cache.values:
            pages.fill_(float("nan"))  # what others left there must never be read
        return loaded

    return load


@pytest.fixture(scope="session")
def short_prompts(prompts):
    return [prompt for prompt in prompts if len(prompt) in PROMPT_LENGTHS]


@pytest.fixture
def sizes(monkeypatch):
    """The sizes of the steps that were captured."""
    captured = []
    made = model.execution.decode_graphs.DecodeStep

    def step(rows, *others):
        captured.append(rows)
        return made(rows, *others)

    monkeypatch.setattr("model.execution.decode_graphs.DecodeStep", step)
    return captured


@pytest.mark.parametrize("variant", VARIANTS)
def test_greedy_generation_equals_transformers(variant, gpu_engine, sizes, oracle, short_prompts):
    """Three slots for six rows: refilled slots, steps of both phases, captured ones with a spare row."""
    completions = gpu_engine(variant, max_batch_rows=3).generate(
        short_prompts, SamplingParams(max_new_tokens=NEW_TOKENS)
    )
    for prompt, completion in zip(short_prompts, completions, strict=True):
        assert completion.token_ids == oracle(variant).generate(tuple(prompt), NEW_TOKENS)
    assert 4 in sizes


@pytest.mark.parametrize("variant", ["mixtral", "window"])
def test_labels_equal_those_of_the_plain_path(variant, gpu_engine, engine, short_prompts):
    choices = [[3, 4, 5, 6], [3, 4, 50, 51], [60, 61], [7], [3, 8]]
    scores, other = ChoiceScores.of(choices), ChoiceScores.of([[9], [10, 11]])
    requests = [
        *(Request(f"label {i}", prompt, readout=scores) for i, prompt in enumerate(short_prompts)),
        *(Request(f"other {i}", prompt, readout=other) for i, prompt in enumerate(short_prompts[::2])),
        *(
            Request(f"one token {i}", prompt, SamplingParams(max_new_tokens=1))
            for i, prompt in enumerate(short_prompts[1::2])
        ),
    ]
    expected = engine(variant).run(requests)
    for ours, plain in zip(gpu_engine(variant).run(requests), expected, strict=True):
        assert ours.token_ids == plain.token_ids
        if not ours.token_ids:
            assert ours.answer == pytest.approx(plain.answer, abs=1e-4)


def test_rows_share_pages_of_what_their_prompts_begin_with(
    gpu_engine, oracle, prompts, short_prompts, monkeypatch
):
    monkeypatch.setattr("model.execution.options.page_size", lambda _: 16)
    prefix = max(prompts, key=len)
    loaded = gpu_engine("mixtral", max_batch_rows=3)
    rows = [prefix[:17] + prompt for prompt in short_prompts[:3]] + short_prompts[2:3]
    completions = loaded.generate(rows, SamplingParams(max_new_tokens=NEW_TOKENS))
    for row, completion in zip(rows, completions, strict=True):
        assert completion.token_ids == oracle("mixtral").generate(tuple(row), NEW_TOKENS)
    assert sum(completion.routing.computed[0] for completion in completions) == sum(map(len, rows)) - 2 * 16


def test_routing_counts_equal_those_of_the_plain_path(gpu_engine, engine, short_prompts):
    prefix = [*max(short_prompts, key=len)[:5], 7, 8, 9] * 2
    rows = [prefix + prompt for prompt in short_prompts[:2]] + short_prompts[2:4]
    params = SamplingParams(max_new_tokens=NEW_TOKENS)
    plain = engine("mixtral", max_batch_rows=3)
    expected = plain.generate(rows, params)
    assert plain.ranks.local.graphs is None
    loaded = gpu_engine("mixtral", max_batch_rows=3)
    for ours, theirs in zip(loaded.generate(rows, params), expected, strict=True):
        for name in COUNTS:
            assert np.array_equal(getattr(ours.routing, name), getattr(theirs.routing, name)), name


def test_sdpa_asks_for_the_plain_path(gpu_engine, checkpoint):
    assert gpu_engine("mixtral").ranks.local.graphs is not None
    assert gpu_engine("mixtral", attention="sdpa").ranks.local.graphs is None
