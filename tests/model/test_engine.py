from dataclasses import replace

import pytest
import torch

from model.engine import Engine
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams

VARIANTS = [
    "mixtral",
    "four-experts",
    "one-choice",
    "three-choices",
    "wide-heads",
    "one-kv-head",
    "tied",
    "several-eos",
    "window",
    "dense",
    "dense-window",
]
NEW_TOKENS = 12


def greedy(completions):
    return [completion.token_ids for completion in completions]


@pytest.mark.parametrize("variant", VARIANTS)
def test_greedy_generation_equals_transformers(variant, engine, oracle, prompts):
    completions = engine(variant).generate(prompts, SamplingParams(max_new_tokens=NEW_TOKENS))
    expected = [oracle(variant).generate(tuple(prompt), NEW_TOKENS) for prompt in prompts]
    assert greedy(completions) == expected
    assert len({token for tokens in expected for token in tokens}) >= 25, (
        "degenerate generations prove little"
    )
    assert max(len(set(tokens)) for tokens in expected) >= 8


def test_generation_ends_at_any_of_several_eos(engine, prompts):
    eos = set(range(4, 97, 9))
    assert set(engine("several-eos").config.eos_token_ids) == eos
    completions = engine("several-eos").generate(prompts, SamplingParams(max_new_tokens=NEW_TOKENS))
    for completion in completions:
        stopped = completion.token_ids[-1] in eos
        assert completion.finish_reason == ("stop" if stopped else "length")
        assert stopped or len(completion.token_ids) == NEW_TOKENS
        assert not eos & set(completion.token_ids[:-1])
    assert {completion.finish_reason for completion in completions} == {"stop", "length"}
    assert len({c.token_ids[-1] for c in completions if c.finish_reason == "stop"}) > 1
    endless = engine("several-eos").generate(
        prompts, SamplingParams(max_new_tokens=NEW_TOKENS, ignore_eos=True)
    )
    assert {(len(completion.token_ids), completion.finish_reason) for completion in endless} == {
        (NEW_TOKENS, "length")
    }
    for completion, longer in zip(completions, endless, strict=True):
        assert longer.token_ids[: len(completion.token_ids)] == completion.token_ids


@pytest.mark.parametrize("variant", ["mixtral", "several-eos", "window", "dense-window"])
@pytest.mark.parametrize(
    "options",
    [
        {"max_batch_rows": 1},
        {"max_batch_rows": 3},
        {"max_batch_rows": 64},
        {"max_batch_rows": 64, "kv_cache_tokens": 33 + NEW_TOKENS - 1},  # the longest row alone fills it
        {"max_batch_rows": 3, "kv_cache_tokens": 60},
    ],
    ids=str,
)
def test_companions_slots_and_order_change_nothing(variant, options, engine, oracle, prompts):
    backwards = [*reversed(prompts)] * 2
    completions = engine(variant, **options).generate(backwards, SamplingParams(max_new_tokens=NEW_TOKENS))
    assert greedy(completions) == [
        oracle(variant).generate(tuple(prompt), NEW_TOKENS) for prompt in backwards
    ]
    assert engine(variant, **options).idle


def test_slots_are_refilled_while_others_run(engine, prompts):
    """A short row's slot is taken by the next row before the long row has ended."""
    two = engine("mixtral", max_batch_rows=2)
    lengths = {"long": 20, "short": 2, "next": 2}
    for key, length in lengths.items():
        two.submit(Request(key, prompts[0], SamplingParams(max_new_tokens=length)))
    finished, steps = [], 0
    while not two.idle:
        finished += [completion.key for completion in two.step()]
        steps += 1
    assert finished == ["short", "next", "long"]
    assert steps == 20  # the long row gets a token at every step: others are prefilled beside it


def test_rows_may_come_while_others_run(engine, oracle, prompts):
    running = engine("mixtral", max_batch_rows=3)
    waiting = [Request(str(i), p, SamplingParams(max_new_tokens=NEW_TOKENS)) for i, p in enumerate(prompts)]
    done = {}
    while waiting or not running.idle:
        if waiting:
            running.submit(waiting.pop(0))
        done |= {completion.key: completion.token_ids for completion in running.step()}
    assert [done[str(i)] for i in range(len(prompts))] == [
        oracle("mixtral").generate(tuple(prompt), NEW_TOKENS) for prompt in prompts
    ]


def test_sampled_rows_depend_on_their_key_and_seed_alone(engine, prompts):
    def requests(seed):
        mixed = [
            SamplingParams(
                NEW_TOKENS, temperature=0.4 * i, top_k=5 * (i % 2), top_p=1 - 0.1 * (i % 3), seed=seed
            )
            for i in range(len(prompts))
        ]
        return [Request(f"row {i}", prompts[i], params) for i, params in enumerate(mixed)]

    expected = {c.key: c.token_ids for c in engine("mixtral", max_batch_rows=1).run(requests(0))}
    for rows in (3, 64):
        backwards = [*reversed(requests(0))]
        completions = engine("mixtral", max_batch_rows=rows).run(backwards)
        assert {c.key: c.token_ids for c in completions} == expected
    other_seed = {c.key: c.token_ids for c in engine("mixtral").run(requests(1))}
    assert other_seed["row 0"] == expected["row 0"], "greedy rows draw nothing"
    assert sum(other_seed[key] != expected[key] for key in expected) >= 6
    same_prompt = [replace(requests(0)[7], key=f"copy {i}") for i in range(6)]
    assert len({tuple(c.token_ids) for c in engine("mixtral").run(same_prompt)}) == 6


def test_logprobs_equal_transformers(engine, oracle, prompts):
    """Under the model itself, whatever the temperature; only for rows that ask."""
    requests = [
        Request(str(i), prompt, SamplingParams(max_new_tokens=6, temperature=i * 0.5, logprobs=i != 3))
        for i, prompt in enumerate(prompts)
    ]
    for completion, request in zip(engine("mixtral").run(requests), requests, strict=True):
        if request.key == "3":
            assert completion.logprobs is None
            continue
        prompt = request.prompt_token_ids
        logits = oracle("mixtral").logits(prompt + completion.token_ids)[len(prompt) - 1 : -1]
        expected = logits.log_softmax(-1)[torch.arange(6), completion.token_ids]
        torch.testing.assert_close(torch.tensor(completion.logprobs), expected, atol=1e-4, rtol=0)


def test_a_single_new_token(engine, oracle, prompts):
    """Rows that end at prefill never decode, and free their slots."""
    one = engine("mixtral", max_batch_rows=3)
    completions = one.generate(prompts, SamplingParams(max_new_tokens=1))
    assert greedy(completions) == [oracle("mixtral").generate(tuple(prompt), 1) for prompt in prompts]
    assert all(completion.routing.computed[1] == 0 for completion in completions)


def test_the_whole_context_can_be_used(engine, oracle):
    context = torch.randint(0, 97, (96,), generator=torch.Generator().manual_seed(2)).tolist()
    (completion,) = engine("mixtral").generate([context], SamplingParams(max_new_tokens=1))
    assert completion.token_ids == [int(oracle("mixtral").logits(context)[-1].argmax())]
    (completion,) = engine("mixtral").generate([context[:90]], SamplingParams(max_new_tokens=7))
    assert completion.token_ids == oracle("mixtral").generate(tuple(context[:90]), 7)
    with pytest.raises(ValueError, match="96 prompt tokens and 1 further ones exceed the context of 96"):
        engine("mixtral").generate([context], SamplingParams(max_new_tokens=2))


def test_should_stop_sees_every_token_but_the_end_of_the_sequence(engine, oracle, prompts):
    expected = oracle("mixtral").generate(tuple(prompts[0]), NEW_TOKENS)
    seen = []

    def third(token):
        seen.append(token)
        return len(seen) == 3

    params = SamplingParams(max_new_tokens=NEW_TOKENS)
    (completion,) = engine("mixtral").run([Request("row", prompts[0], params, should_stop=third)])
    assert (completion.token_ids, completion.finish_reason) == (expected[:3], "stop")
    assert seen == expected[:3]

    stopped = next(
        p for p in prompts if len(oracle("several-eos").generate(tuple(p), NEW_TOKENS)) < NEW_TOKENS
    )
    seen = []
    request = Request("row", stopped, params, should_stop=lambda token: seen.append(token))
    (completion,) = engine("several-eos").run([request])
    assert seen == completion.token_ids[:-1]


def test_nothing_to_do(engine):
    idle = engine("mixtral")
    assert idle.generate([]) == []
    assert idle.idle
    assert idle.step() == []


def test_a_refused_row_leaves_nothing_behind(engine, oracle, prompts):
    params = SamplingParams(max_new_tokens=4)
    with pytest.raises(ValueError, match="at least one token"):
        engine("mixtral").generate([prompts[1], []], params)
    assert engine("mixtral").idle
    assert greedy(engine("mixtral").generate([prompts[0]], params)) == [
        oracle("mixtral").generate(tuple(prompts[0]), 4)
    ]


def test_rows_that_run_together_have_different_keys(engine):
    with pytest.raises(ValueError, match="keys that differ"):
        engine("mixtral").run([Request("a", [1]), Request("a", [2])])
    assert engine("mixtral").idle


@pytest.mark.parametrize("option", ["threads", "max_batch_rows", "kv_cache_tokens"])
@pytest.mark.parametrize("value", [0, -1])
def test_options_out_of_range(option, value, checkpoint):
    with pytest.raises(ValueError, match=f"{option} must be at least 1, got {value}"):
        Engine.load(checkpoint("mixtral"), **{option: value})
