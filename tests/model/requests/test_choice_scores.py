import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.requests.choice_scores import ChoiceScores
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams

CHOICES = [
    [5],
    [9, 8],
    [9, 8, 7],  # begins with the one before
    [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
    [9, 12, 7],
    [9, 12, 8],
    [40, 40, 40, 40],
    [40, 40],
    [77, 5],
]
VARIANTS = ["mixtral", "one-kv-head", "window", "dense-window", "tied"]
CHOICE_SETS = st.lists(
    st.lists(st.integers(0, 2), min_size=1, max_size=6), min_size=1, max_size=12, unique_by=tuple
)


@pytest.fixture(scope="session")
def separately(oracle):
    """The log-probability of each choice behind a prompt, each from a forward pass of its own."""

    def score(variant, prompt, choices):
        scores = []
        for choice in choices:
            logprobs = oracle(variant).logits(prompt + choice)[len(prompt) - 1 : -1].double().log_softmax(-1)
            scores.append(float(logprobs[torch.arange(len(choice)), choice].sum()))
        return scores

    return score


@pytest.mark.parametrize("choices", [CHOICES, [[5], [6], [96]], [[5]], [[1, 2, 3]]], ids=len)
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_choice_scores_as_if_it_were_alone(variant, choices, engine, separately, prompts):
    completions = engine(variant, max_batch_rows=3).score(prompts, choices)
    for prompt, completion in zip(prompts, completions, strict=True):
        expected = separately(variant, prompt, choices)
        assert completion.answer == pytest.approx(expected, abs=1e-4, rel=1e-5)
        assert (completion.token_ids, completion.finish_reason, completion.logprobs) == ([], None, None)


@pytest.mark.parametrize("variant", ["mixtral", "window"])
def test_the_end_of_a_choice_is_one_of_several_ids(variant, engine, oracle, separately, prompts):
    choices, end_ids = [*CHOICES, CHOICES[3] + [2]], (2, 7, 60, 7)
    completions = engine(variant, max_batch_rows=3).score(prompts, choices, end_ids)
    for prompt, completion in zip(prompts, completions, strict=True):
        ends = [
            float(oracle(variant).logits(prompt + c)[-1].double().softmax(-1)[[2, 7, 60]].sum())
            for c in choices
        ]
        scored = separately(variant, prompt, choices)
        expected = [score + math.log(end) for score, end in zip(scored, ends, strict=True)]
        assert completion.answer == pytest.approx(expected, abs=1e-4, rel=1e-5)


def test_order_and_company_of_choices_change_nothing(engine, prompts):
    forwards, backwards = (engine("window").score(prompts, c) for c in (CHOICES, CHOICES[::-1]))
    alone = [engine("window").score(prompts, [choice]) for choice in CHOICES]
    for row in range(len(prompts)):
        expected = pytest.approx(forwards[row].answer, abs=1e-4)
        assert backwards[row].answer[::-1] == expected
        assert [completions[row].answer[0] for completions in alone] == expected


def test_all_continuations_of_one_length_have_probability_one(engine, prompts):
    completions = engine("mixtral").score(prompts, [[token] for token in range(97)])
    for completion in completions:
        assert torch.tensor(completion.answer).exp().sum() == pytest.approx(1)


def test_scoring_and_generation_share_batches(engine, oracle, separately, prompts):
    scores = ChoiceScores.of(CHOICES)
    mixed = engine("mixtral", max_batch_rows=3)
    requests = [
        Request(str(i), prompt, readout=scores)
        if i % 2
        else Request(str(i), prompt, SamplingParams(max_new_tokens=8))
        for i, prompt in enumerate(prompts * 2)
    ]
    for request, completion in zip(requests, mixed.run(requests), strict=True):
        prompt = request.prompt_token_ids
        if request.readout is None:
            assert completion.token_ids == oracle("mixtral").generate(tuple(prompt), 8)
        else:
            expected = separately("mixtral", prompt, CHOICES)
            assert completion.answer == pytest.approx(expected, abs=1e-4, rel=1e-5)


def test_a_tree_may_reach_the_end_of_the_context(engine, separately):
    prompt = torch.randint(0, 97, (94,), generator=torch.Generator().manual_seed(4)).tolist()
    choices = [[1, 2, 3], [4], [1, 5, 3]]  # the last tokens are predicted, never fed: 94 + 2 positions
    (completion,) = engine("mixtral").score([prompt], choices)
    assert completion.answer == pytest.approx(separately("mixtral", prompt, choices), abs=1e-4)


def prefix_of(tree, node):
    """The tokens that lead to a node, read from its ancestors alone."""
    path = sorted(tree.ancestors[node].nonzero()[0], key=lambda n: tree.depths[n])
    return tuple(tree.token_ids[n] for n in path)


@given(CHOICE_SETS)
def test_a_node_for_every_proper_prefix(choices):
    tree = ChoiceScores.of(choices).tree
    prefixes = [prefix_of(tree, node) for node in range(len(tree.token_ids))]
    expected = {tuple(choice[:length]) for choice in choices for length in range(1, len(choice))}
    assert set(prefixes) == expected
    assert len(prefixes) == len(expected) == len(tree.depths) == len(tree.token_ids)
    assert [len(prefix) - 1 for prefix in prefixes] == tree.depths
    assert all(tree.ancestors[node, node] for node in range(len(tree.token_ids)))
    assert tree.depth == max(map(len, choices)) - 1


@given(CHOICE_SETS, st.sets(st.integers(0, 2)), st.integers(0, 1000))
def test_logprobs_add_up_along_each_choice(choices, end_ids, seed):
    scores = ChoiceScores.of(choices, end_ids)
    tree = scores.tree
    logits = torch.randn(1 + len(tree.token_ids), 3, generator=torch.Generator().manual_seed(seed))
    after = {(): 0} | {prefix_of(tree, node): node + 1 for node in range(len(tree.token_ids))}
    probabilities = logits.double().softmax(-1)
    expected = []
    for choice in choices:
        likely = math.prod(probabilities[after[tuple(choice[:i])]][token] for i, token in enumerate(choice))
        if end_ids:
            likely *= probabilities[after[tuple(choice)]][sorted(end_ids)].sum()
        expected.append(math.log(likely))
    asked = scores.asked
    assert (asked.reads[1:] >= asked.reads[:-1]).all()
    logprobs = logits.double().log_softmax(-1)[asked.reads, asked.token_ids]
    assert scores.scores(logprobs.numpy()) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ([], "choices must be non-empty lists of token ids"),
        ([[1], []], "choices must be non-empty lists of token ids"),
        ([[1, 2], [3], [1, 2]], "choices must differ from each other in their token ids"),
    ],
    ids=str,
)
def test_choices_that_make_no_tree(choices, message):
    with pytest.raises(ValueError, match=message):
        ChoiceScores.of(choices)
