"""Every feature in bfloat16: along float32's tokens it gives nearly float32's log-probabilities.

Where one token of an answer differs, by a near-tie, the rest is another answer and is not compared.
"""

from statistics import median

import pytest
import torch

from model.engine import Engine
from model.requests.choice_scores import normalised
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams
from tests.model.engine.test_rows_set_back_lose_nothing import ending_after
from tests.model.engine.test_same_rows_same_bits import bits, group

PAGE = 8
GREEDY = SamplingParams(max_new_tokens=12, logprobs=True, ignore_eos=True)
CHOICES = [[5, 6, 7], [5, 8], [9], [30, 31]]


@pytest.fixture
def half(checkpoint, monkeypatch):
    """A variant's name and options -> its engine in bfloat16, with small pages."""
    monkeypatch.setattr("model.execution.options.page_size", lambda _: PAGE)
    loaded = []

    def load(variant="mixtral", **options):
        loaded.append(Engine.load(checkpoint(variant), "bfloat16", threads=1, **options))
        return loaded[-1]

    yield load
    for engine in loaded:
        engine.close()


@pytest.fixture
def rows(prompts):
    """Half of them begin alike."""
    instruction = max(prompts, key=len)[: 2 * PAGE + 3]
    return [*(instruction + prompt for prompt in prompts[:6]), *prompts]


@pytest.fixture
def exact(engine, rows):
    """A variant's name and parameters -> what it says in float32."""
    return lambda variant="mixtral", params=GREEDY: engine(variant).generate(rows, params)


def assert_near(completions, exact):
    differences = []
    for one, other in zip(completions, exact, strict=True):
        assert one.failure is None
        assert len(one.token_ids) == len(other.token_ids)
        for place, tokens in enumerate(zip(one.token_ids, other.token_ids, strict=True)):
            if tokens[0] != tokens[1]:
                break
            differences.append(abs(one.logprobs[place] - other.logprobs[place]))
    assert len(differences) > len(exact) * 2
    assert 0 < median(differences) < 0.08  # of logits with a deviation of almost 2


def assert_labels_near(completions, exact):
    differences = []
    for one, other in zip(completions, exact, strict=True):
        assert one.failure is None
        pairs = zip(normalised(one.answer), normalised(other.answer), strict=True)
        differences.append(max(abs(ours - theirs) for ours, theirs in pairs))
    assert 0 < median(differences) < 0.01


@pytest.mark.parametrize("variant", ["mixtral", "tied", "window", "dense"])
@pytest.mark.parametrize(
    "options",
    [{}, {"max_batch_rows": 3}, {"statistics": False}],
    ids=str,
)
def test_generations(variant, options, half, exact, rows):
    engine = half(variant, **options)
    assert engine.path["dtype"] == "bfloat16"
    completions = engine.generate(rows, GREEDY)
    assert_near(completions, exact(variant))
    counted = options.get("statistics", True) and variant != "dense"
    for row, completion in zip(rows, completions, strict=True):
        assert (completion.routing is not None) == counted
        if counted:
            assert completion.routing.tokens.tolist() == [len(row), 11]
            assert (completion.routing.chosen.sum(-1) == completion.routing.tokens[:, None, None]).all()


def test_two_ranks(half, exact, rows, engine):
    sharded = half("mixtral", tensor_parallel=2)
    assert_near(sharded.generate(rows, GREEDY), exact("mixtral"))
    assert_labels_near(sharded.score(rows, CHOICES), engine("mixtral").score(rows, CHOICES))


@pytest.mark.parametrize("variant", ["mixtral", "tied", "dense"])
def test_without_a_compiler(variant, half, exact, rows, engine, monkeypatch):
    for place in ("linear.choose", "kernels.compiled_kernels"):
        monkeypatch.setattr(f"model.{place}.compiled_operators", lambda: None)
    monkeypatch.setattr("model.attention.decode_cpu.CpuDecode.is_compiled", lambda: False)
    plain = half(variant)
    assert plain.path["decode"] == "torch"
    assert_near(plain.generate(rows, GREEDY), exact(variant))
    assert_labels_near(plain.score(rows, CHOICES), engine(variant).score(rows, CHOICES))


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(12, temperature=0.7, logprobs=True),
        SamplingParams(12, temperature=0.7, top_p=0.8, logprobs=True),
        SamplingParams(12, temperature=0.7, top_k=5, logprobs=True),
    ],
    ids=["all", "top_p", "top_k"],
)
def test_samples(params, half, exact, rows):
    assert_near(half("dense").generate(rows, params), exact("dense", params))


def test_shared_prefixes(half, exact, rows):
    completions = half().generate(rows, GREEDY)
    assert_near(completions, exact())
    shared = [completion for completion in completions if completion.shared_routing]
    assert len(shared) >= 6
    computed = sum(int(completion.routing.computed[0]) for completion in completions)
    assert computed <= sum(map(len, rows)) - 5 * 2 * PAGE


def test_rows_that_are_set_back(half, engine, prompts, monkeypatch):
    """Short answers come first, so that too many of the long ones are let in."""
    loaded = half(kv_cache_tokens=96)
    set_back, next_step = [], loaded.scheduler.next_step

    def noted():
        step = next_step()
        set_back.extend(step.set_back)
        return step

    monkeypatch.setattr(loaded.scheduler, "next_step", noted)
    params = SamplingParams(max_new_tokens=40, logprobs=True, ignore_eos=True)
    lengths = [1, 1, 2, 2] + [30] * 6
    requests = [
        Request(f"{i:02}", (prompts * 2)[i], params, should_stop=ending_after(length))
        for i, length in enumerate(lengths)
    ]
    completions = loaded.run(requests)
    assert set_back
    exact = engine("mixtral").generate((prompts * 2)[:10], SamplingParams(max_new_tokens=30, logprobs=True))
    assert_near(completions[4:], exact[4:])


def test_prompts_in_parts(half, exact, rows, engine, monkeypatch):
    monkeypatch.setattr("model.engine.STEP_TOKENS", 7)
    parts = half(max_batch_rows=4)
    assert parts.scheduler.budget.most == 7
    assert_near(parts.generate(rows, GREEDY), exact())
    assert_labels_near(parts.score(rows, CHOICES), engine("mixtral").score(rows, CHOICES))


@pytest.mark.parametrize("end_ids", [(), (2, 3)])
@pytest.mark.parametrize("variant", ["mixtral", "tied", "dense"])
def test_labels(variant, end_ids, half, rows, engine):
    exact = engine(variant).score(rows, CHOICES, end_ids)
    assert_labels_near(half(variant).score(rows, CHOICES, end_ids), exact)


@pytest.mark.parametrize("variant", ["mixtral", "window"])
def test_the_same_rows_have_the_same_bits(variant, half):
    reused = half(variant, max_batch_rows=5, kv_cache_tokens=200)
    first = bits(reused.run(group(0, rows=12)))
    reused.run(group(1, rows=7))
    assert bits(reused.run(group(0, rows=12))) == first


def test_a_row_of_nan_ends_alone(half, rows):
    engine = half()
    engine.ranks.local.model.embedding.weight[rows[1][0]] = torch.nan
    harmed = [rows[1][0] in row for row in rows]
    first = SamplingParams(max_new_tokens=1)
    for row, completion, nan in zip(rows, engine.generate(rows, first), harmed, strict=True):
        assert completion.failure == ("nan_logits" if nan else None), row
    assert 0 < sum(harmed) < len(rows)


def test_int8_is_refused(checkpoint):
    with pytest.raises(ValueError, match=r"int8 computes in float32 on CPUs, got torch\.bfloat16"):
        Engine.load(checkpoint("mixtral"), "bfloat16", quantization="int8")
