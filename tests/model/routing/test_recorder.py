import numpy as np
import pytest

from model.requests.choice_scores import ChoiceScores
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams
from model.scheduling.batch import Phase

ONE = 1 << 16
LAYERS, NEW_TOKENS = 3, 10
MIXTURES = ["mixtral", "four-experts", "one-choice", "three-choices", "several-eos", "window", "tied"]
EXACT = ["tokens", "computed", "chosen", "pairs", "next_pairs", "repeat_first", "repeat_any"]
# Two ways to the same probability may round to neighbouring fixed-point numbers, once a token.
ROUNDED = ["gate_q", "prob_q", "entropy_q"]


def counted(router_logits, prompt_tokens, chosen_per_token):
    """What a row's counts must be, token by token, from router logits [L, T, E] of all tokens ever fed."""
    layers, tokens, experts = router_logits.shape
    shape = {
        "tokens": (),
        "chosen": (layers, chosen_per_token, experts),
        "gate_q": (layers, chosen_per_token, experts),
        "prob_q": (layers, experts),
        "pairs": (layers, experts, experts),
        "next_pairs": (),
        "repeat_first": (layers,),
        "repeat_any": (layers,),
        "entropy_q": (layers,),
    }
    counts = {name: np.zeros((2, *axes)) for name, axes in shape.items()}
    for t in range(tokens):
        phase = 0 if t < prompt_tokens else 1
        counts["tokens"][phase] += 1
        counts["next_pairs"][phase] += t > 0
        for layer in range(layers):
            probabilities = np.exp(router_logits[layer, t] - router_logits[layer, t].max())
            probabilities /= probabilities.sum()
            chosen = np.argsort(-probabilities)[:chosen_per_token]
            for k, expert in enumerate(chosen):
                gate = probabilities[expert] / probabilities[chosen].sum()
                counts["chosen"][phase, layer, k, expert] += 1
                counts["gate_q"][phase, layer, k, expert] += round(gate * ONE)
            counts["prob_q"][phase, layer] += np.round(probabilities * ONE)
            counts["entropy_q"][phase, layer] += round(-(probabilities * np.log(probabilities)).sum() * ONE)
            if chosen_per_token > 1:
                counts["pairs"][phase, layer, chosen[0], chosen[1]] += 1
            if t > 0:
                before = np.argsort(-router_logits[layer, t - 1])[:chosen_per_token]
                counts["repeat_first"][phase, layer] += chosen[0] == before[0]
                counts["repeat_any"][phase, layer] += bool(set(chosen) & set(before))
    return counts


def assert_same(routing, expected, names=(*EXACT, *ROUNDED)):
    for name in names:
        got, wanted = getattr(routing, name), expected[name]
        assert got.shape == wanted.shape
        slack = 0
        if name in ROUNDED:
            slack = expected["tokens"].reshape(2, *[1] * (got.ndim - 1))
        assert (np.abs(got - wanted) <= slack).all(), name


def as_counts(routing):
    return {name: getattr(routing, name) for name in (*EXACT, *ROUNDED)}


@pytest.mark.parametrize("variant", MIXTURES)
def test_counts_equal_a_slow_computation_on_transformers_logits(variant, engine, oracle, prompts):
    """Three slots for sixteen rows of all lengths: padded batches, refilled slots."""
    loaded = engine(variant, max_batch_rows=3)
    per_token = loaded.config.num_experts_per_tok
    completions = [
        completion
        for half in (prompts, prompts)  # of which no two share a page
        for completion in loaded.generate(half, SamplingParams(max_new_tokens=NEW_TOKENS))
    ]
    repeated = np.zeros(2)
    for prompt, completion in zip(prompts * 2, completions, strict=True):
        fed = prompt + completion.token_ids[:-1]
        router_logits = oracle(variant).router_logits(fed).double().numpy()
        clear = np.diff(np.sort(router_logits), axis=-1).min()
        assert clear > 1e-6, "two experts are too close to tell who is chosen: take another seed"
        expected = counted(router_logits, len(prompt), per_token)
        expected["computed"] = expected["tokens"]
        assert_same(completion.routing, expected)
        repeated += (completion.routing.repeat_first.sum(), completion.routing.repeat_any.sum())
    assert (repeated > 10).all(), "too few repetitions to prove anything"


@pytest.mark.parametrize("variant", MIXTURES)
def test_sums(variant, engine, prompts):
    """Every token has a first choice, a second choice, gates and probabilities that sum to one."""
    loaded = engine(variant)
    per_token = loaded.config.num_experts_per_tok
    for completion in loaded.generate(prompts, SamplingParams(max_new_tokens=NEW_TOKENS)):
        routing = completion.routing
        tokens = routing.tokens[:, None]  # [2, 1], for each layer
        assert routing.tokens[0] == len(prompts[int(completion.key)])
        assert routing.tokens[1] == len(completion.token_ids) - 1
        assert (routing.computed == routing.tokens).all()
        assert (routing.chosen.sum(-1) == tokens[..., None]).all()
        if per_token > 1:
            assert (routing.pairs.sum(-1) == routing.chosen[:, :, 0]).all()
            assert (routing.pairs.sum(-2) == routing.chosen[:, :, 1]).all()
            assert (np.diagonal(routing.pairs, axis1=-2, axis2=-1) == 0).all()
        else:
            assert (routing.pairs == 0).all()
        experts = loaded.config.num_experts
        assert (np.abs(routing.gate_q.sum((-1, -2)) - tokens * ONE) <= tokens * per_token / 2).all()
        assert (np.abs(routing.prob_q.sum(-1) - tokens * ONE) <= tokens * experts / 2).all()
        assert (routing.entropy_q <= tokens * (np.log(experts) * ONE + 1)).all()
        assert all(counts.dtype == np.int64 for counts in as_counts(routing).values())


def test_pairs_of_tokens_belong_to_the_phase_of_the_later_one(engine, prompts):
    """The last prompt token and the first generated one: decode."""
    for completion in engine("mixtral").generate(prompts, SamplingParams(max_new_tokens=NEW_TOKENS)):
        prompt = prompts[int(completion.key)]
        assert completion.routing.next_pairs.tolist() == [len(prompt) - 1, NEW_TOKENS - 1]


def test_a_row_that_ends_at_prefill_has_no_decode_counts(engine, prompts):
    for completion in engine("mixtral").generate(prompts, SamplingParams(max_new_tokens=1)):
        assert all((counts[Phase.DECODE] == 0).all() for counts in as_counts(completion.routing).values())
        assert completion.routing.tokens[Phase.PREFILL] > 0


@pytest.mark.parametrize(
    "options", [{"max_batch_rows": 1}, {"max_batch_rows": 2}, {"kv_cache_tokens": 60}], ids=str
)
def test_batches_and_slots_change_no_count(options, engine, prompts):
    params = SamplingParams(max_new_tokens=NEW_TOKENS, temperature=0.7)
    expected = engine("mixtral").generate(prompts, params)
    requests = [Request(str(i), prompt, params) for i, prompt in enumerate(prompts)]
    again = engine("mixtral", **options).run(requests[::-1])[::-1]
    for one, other in zip(expected, again, strict=True):
        assert one.token_ids == other.token_ids
        assert_same(other.routing, as_counts(one.routing))


def test_the_nodes_of_a_label_tree_are_computed_but_are_no_tokens(engine, oracle, prompts):
    scores = ChoiceScores.of([[5, 6, 7], [5, 8], [9], [30, 31]])
    nodes = 3  # 5, 5 6, 30: the last token of a choice is never fed
    loaded = engine("mixtral", max_batch_rows=3)
    requests = [
        (
            Request(str(i), prompt, readout=scores)
            if i % 3
            else Request(str(i), prompt, SamplingParams(max_new_tokens=NEW_TOKENS))
        )
        for i, prompt in enumerate(prompts * 2)
    ]
    half = len(prompts)  # of which no two share a page
    completions = loaded.run(requests[:half]) + loaded.run(requests[half:])
    for request, completion in zip(requests, completions, strict=True):
        prompt, labelled = request.prompt_token_ids, request.readout is not None
        fed = prompt + completion.token_ids[:-1]
        expected = counted(oracle("mixtral").router_logits(fed).double().numpy(), len(prompt), 2)
        expected["computed"] = expected["tokens"] + np.array([nodes if labelled else 0, 0])
        assert_same(completion.routing, expected)


def test_nothing_is_counted_without_experts_or_when_off(engine, prompts):
    params = SamplingParams(max_new_tokens=2)
    assert engine("dense").generate(prompts[:1], params)[0].routing is None
    assert engine("mixtral", statistics=False).generate(prompts[:1], params)[0].routing is None
