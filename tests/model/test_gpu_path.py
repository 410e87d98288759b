"""What runs on a GPU, on a CPU: Triton's interpreter, plain functions for torch's own kernels, no capture.

The engine around them is the same, so that its tokens, scores and counts are held to transformers' and to the
plain path's. On a GPU itself: tests/gpu.
"""

from itertools import pairwise

import numpy as np
import pytest
import torch

import model.execution.decode_graphs
from model.attention.flash import _what_triton_lacks
from model.attention.log_sum_exp import attend, attend_in_blocks, attend_tokens, bias_of
from model.engine import Engine
from model.network.experts import Experts
from model.requests.choice_scores import ChoiceScores
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams

pytest.importorskip("triton", reason="there are no wheels of it for this machine")

NEW_TOKENS = 5  # the interpreter takes its time
VARIANTS = [
    "mixtral",
    "window",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("wide-heads", "one-kv-head", "dense")),
]
COUNTS = ["tokens", "computed", "chosen", "pairs", "next_pairs", "repeat_first", "repeat_any"]


def plain_flash(q, k, v, queries, keys, *, causal, window=None):
    """Row by row, what torch's FlashAttention gives for rows side by side."""
    parts = []
    for mine, seen in zip(pairwise(queries.bounds.tolist()), pairwise(keys.bounds.tolist()), strict=True):
        if mine[0] == mine[1]:
            continue
        distance = torch.arange(mine[1] - mine[0])[:, None] - torch.arange(seen[1] - seen[0])
        visible = (distance >= 0) | (not causal)
        if window is not None:
            visible &= distance < window
        bias = bias_of(visible, q.dtype)[None, None]
        parts.append(attend_tokens(q[slice(*mine)], k[slice(*seen)], v[slice(*seen)], bias=bias))
    return torch.cat([part for part, _ in parts]), torch.cat([lse for _, lse in parts])


@pytest.fixture
def gpu_engine(monkeypatch, checkpoint):
    """A variant's name and options -> its engine on the GPU's path, which engines take from then on."""

    def load(variant, **options):
        monkeypatch.setattr("model.attention.flash._missing", lambda *_: None)
        monkeypatch.setattr("model.network.experts.has_grouped_matmul", lambda *_: True)
        monkeypatch.setattr("model.execution.executor.layout_for", lambda *_: None)
        monkeypatch.setattr("model.attention.prefill_flash.flash", plain_flash)
        monkeypatch.setattr("model.attention.cached_attention.flash_to_all", attend_tokens)
        monkeypatch.setattr(
            "model.execution.decode_graphs.DecodeGraphs._capture", lambda self, compute: compute
        )
        loaded = Engine.load(checkpoint(variant), threads=1, **options)
        for pages in loaded.ranks.local.cache.keys + loaded.ranks.local.cache.values:
            pages.fill_(float("nan"))  # what others left there must never be read
        return loaded

    return load


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
def test_greedy_generation_equals_transformers(variant, gpu_engine, sizes, oracle, prompts):
    """Three slots for eight rows: refilled slots, steps of both phases, captured ones with a spare row."""
    completions = gpu_engine(variant, max_batch_rows=3).generate(
        prompts, SamplingParams(max_new_tokens=NEW_TOKENS)
    )
    for prompt, completion in zip(prompts, completions, strict=True):
        assert completion.token_ids == oracle(variant).generate(tuple(prompt), NEW_TOKENS)
    assert 4 in sizes


@pytest.mark.parametrize("variant", ["mixtral", "window"])
def test_labels_equal_those_of_the_plain_path(variant, gpu_engine, engine, prompts):
    choices = [[3, 4, 5, 6], [3, 4, 50, 51], [60, 61], [7], [3, 8]]
    scores, other = ChoiceScores.of(choices), ChoiceScores.of([[9], [10, 11]])
    requests = [
        *(Request(f"label {i}", prompt, readout=scores) for i, prompt in enumerate(prompts)),
        *(Request(f"other {i}", prompt, readout=other) for i, prompt in enumerate(prompts)),
        *(
            Request(f"one token {i}", prompt, SamplingParams(max_new_tokens=1))
            for i, prompt in enumerate(prompts)
        ),
    ]
    expected = engine(variant).run(requests)
    for ours, plain in zip(gpu_engine(variant).run(requests), expected, strict=True):
        assert ours.token_ids == plain.token_ids
        if not ours.token_ids:
            assert ours.answer == pytest.approx(plain.answer, abs=1e-4)


def test_a_shared_prefix_changes_with_the_job(gpu_engine, oracle, prompts):
    """Steps that were captured with one prefix must not be used with the next."""
    prefix = max(prompts, key=len)
    loaded = gpu_engine("mixtral", max_batch_rows=3)
    for shared in (prefix[:21], [], prefix[:9]):
        loaded.share_prefix(shared)
        rows = [prefix[:21] + prompts[0], prefix[:9] + prompts[1], prompts[2]]
        completions = loaded.generate(rows, SamplingParams(max_new_tokens=NEW_TOKENS))
        for row, completion in zip(rows, completions, strict=True):
            assert completion.token_ids == oracle("mixtral").generate(tuple(row), NEW_TOKENS)


def test_routing_counts_equal_those_of_the_plain_path(gpu_engine, engine, prompts):
    prefix = [*prompts[0][:5], 7, 8, 9]
    rows = [prefix + prompt for prompt in prompts[:4]] + prompts[4:6]
    params = SamplingParams(max_new_tokens=NEW_TOKENS)
    plain = engine("mixtral", max_batch_rows=3)
    plain.share_prefix(prefix)
    expected = plain.generate(rows, params)
    plain.share_prefix([])
    assert plain.ranks.local.graphs is None
    loaded = gpu_engine("mixtral", max_batch_rows=3)
    loaded.share_prefix(prefix)
    for ours, theirs in zip(loaded.generate(rows, params), expected, strict=True):
        for name in COUNTS:
            assert np.array_equal(getattr(ours.routing, name), getattr(theirs.routing, name)), name


def test_sdpa_asks_for_the_plain_path(gpu_engine, checkpoint):
    assert gpu_engine("mixtral").ranks.local.graphs is not None
    assert gpu_engine("mixtral", attention="sdpa").ranks.local.graphs is None


@pytest.mark.parametrize(
    ("attention", "sentence"),
    [
        ("flash", "attention flash needs a GPU, got cpu; choose auto"),
        ("xformers", "must be auto, sdpa or flash, got xformers"),
    ],
)
def test_attention_that_is_not_to_be_had_is_refused(attention, sentence, checkpoint):
    with pytest.raises(ValueError, match=sentence):
        Engine.load(checkpoint("mixtral"), attention=attention)


def test_what_triton_needs_is_tried_on_the_pages_that_attention_reads():
    assert _what_triton_lacks(torch.device("cpu"), torch.float32, 24) is None


@pytest.mark.parametrize("causal", [False, True])
def test_plain_attention_in_blocks_equals_torchs(causal, monkeypatch):
    monkeypatch.setattr("model.attention.log_sum_exp._QUERIES", 5)
    generator = torch.Generator().manual_seed(4)
    q, k, v = (torch.randn(2, heads, 17, 16, generator=generator) for heads in (4, 2, 2))
    masked = bias_of(torch.rand(2, 1, 17, 17, generator=generator) < 0.5, q.dtype)
    masked.diagonal(dim1=2, dim2=3).fill_(0.0)
    for bias in (None,) if causal else (None, masked, masked[:, :, :1]):
        blocks, whole = attend_in_blocks(q, k, v, causal, bias), attend(q, k, v, causal=causal, bias=bias)
        torch.testing.assert_close(blocks, tuple(whole), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("at_a_time", [2, 1 << 15])
def test_grouped_experts_equal_one_after_the_other(engine, at_a_time, monkeypatch):
    monkeypatch.setattr("model.network.experts._GROUPED", at_a_time)
    loaded = engine("mixtral", quantization="none")
    generator = torch.Generator().manual_seed(3)
    experts = Experts(0, loaded.config, loaded.ranks.local.model.tp)
    for weight in (experts.gate, experts.w13, experts.w2):
        weight.normal_(generator=generator)
    for expert_of_tokens in ([0, 0, 3, 5, 5, 5, 7], [2], [0] * 4, [7] * 3, []):
        chosen = torch.tensor(expert_of_tokens, dtype=torch.int64)
        x = torch.randn(len(chosen), loaded.config.dim, generator=generator)
        grouped = experts.run_grouped(x, chosen)
        if len(chosen):
            torch.testing.assert_close(grouped, experts.run_by_expert(x, chosen), atol=1e-4, rtol=1e-4)
