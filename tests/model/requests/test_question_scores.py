"""Questions about one text, computed in one pass, score as each does alone."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.requests import choice_scores, question_scores, token_tree
from model.requests.choice_scores import normalised
from model.requests.question_scores import Branch, QuestionScores
from model.requests.request import Request

TOKENS = st.integers(3, 6)  # few, so that questions and choices begin alike
CHOICES = st.lists(
    st.lists(TOKENS, min_size=1, max_size=4).map(tuple), min_size=1, max_size=4, unique=True
).map(tuple)
BRANCHES = st.lists(
    st.builds(Branch, st.lists(TOKENS, max_size=6).map(tuple), CHOICES), min_size=1, max_size=5
)
TEXTS = st.lists(st.integers(0, 96), min_size=1, max_size=40)
END_IDS = st.sets(st.sampled_from([2, 4, 60]))
QUESTIONS = [
    Branch((50, 51, 52), ((5,), (6, 7), (6, 8))),
    Branch((50, 51), ((52, 9), (52, 9, 8), (77,))),
    Branch((), ((50, 51), (4,))),  # its prompt ends where the others go on
    Branch((90, 91, 92, 93, 94, 95), ((5,), (6, 7))),
    Branch((90, 91, 92, 93, 94, 95), ((6, 7), (8, 8, 8))),  # the same question with other choices
]


def ask(engine, text, branches, end_ids=(), apart=False):
    [completion] = engine.run([Request("row", text, readout=QuestionScores(branches, end_ids, apart))])
    assert completion.failure is None
    return completion


def ask_alone(engine, text, branches, end_ids=()):
    return [
        engine.score([[*text, *branch.rest]], [*map(list, branch.choices)], end_ids)[0] for branch in branches
    ]


def assert_same(together, alone):
    for scores, completion in zip(together, alone, strict=True):
        assert scores == pytest.approx(completion.answer, abs=1e-4, rel=1e-6)
        assert normalised(scores) == pytest.approx(normalised(completion.answer), abs=1e-5)


@pytest.mark.parametrize("variant", ["mixtral", "window", "dense-window"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXTS, BRANCHES, END_IDS)
def test_questions_score_together_as_each_alone(variant, engine, text, branches, end_ids):
    loaded = engine(variant, max_batch_rows=3)
    assert_same(ask(loaded, text, branches, end_ids).answer, ask_alone(loaded, text, branches, end_ids))


@pytest.mark.parametrize("variant", ["mixtral", "window"])
def test_scores_equal_transformers(variant, engine, oracle, prompts):
    readout = QuestionScores(QUESTIONS)
    requests = [Request(str(i), prompt, readout=readout) for i, prompt in enumerate(prompts)]
    for prompt, completion in zip(prompts, engine(variant, max_batch_rows=3).run(requests), strict=True):
        for branch, scores in zip(QUESTIONS, completion.answer, strict=True):
            own = [*prompt, *branch.rest]
            for choice, score in zip(branch.choices, scores, strict=True):
                logprobs = oracle(variant).logits([*own, *choice])[len(own) - 1 : -1].double().log_softmax(-1)
                expected = float(logprobs[torch.arange(len(choice)), [*choice]].sum())
                assert score == pytest.approx(expected, abs=1e-4, rel=1e-5)


@pytest.mark.parametrize("variant", ["mixtral", "window"])
def test_too_many_nodes_take_several_passes(variant, engine, prompts, monkeypatch):
    loaded = engine(variant, max_batch_rows=3)
    whole = ask(loaded, prompts[0], QUESTIONS, (2, 60))
    monkeypatch.setattr(choice_scores, "MOST_NODES", 8)
    monkeypatch.setattr(question_scores, "MOST_NODES", 8)
    monkeypatch.setattr(token_tree, "BLOCK_NODES", 2)
    parts = QuestionScores(QUESTIONS, (2, 60)).parts
    assert [part.lead for part in parts] == [(), (), (), QUESTIONS[3].rest, QUESTIONS[4].rest]
    split = ask(loaded, prompts[0], QUESTIONS, (2, 60))
    for one, other in zip(whole.answer, split.answer, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


@pytest.mark.parametrize("text", [[], [9, 10, 11]], ids=len)
def test_questions_that_share_nothing_are_prompts_of_their_own(text, engine):
    asked = [branch for branch in QUESTIONS if text or branch.rest]
    loaded = engine("mixtral", max_batch_rows=3)
    assert_same(ask(loaded, text, asked, (2,), apart=True).answer, ask_alone(loaded, text, asked, (2,)))


def test_the_router_is_told_of_the_text_once_and_every_token_is_counted_as_computed(engine, prompts):
    loaded = engine("mixtral", max_batch_rows=3)
    for text in prompts:
        completion = ask(loaded, text, QUESTIONS)
        [alone] = loaded.score([text], [[5]])
        for name in ("tokens", "chosen", "pairs", "next_pairs", "repeat_first"):
            np.testing.assert_array_equal(
                getattr(completion.routing, name), getattr(alone.routing, name), name
            )
        # Beginnings that branches share are one node: 50 51 52 and 90 .. 95, and of the choices 6, 9, 6, 8 8.
        assert completion.routing.computed.tolist() == [len(text) + 3 + 6 + 5, 0]


def test_what_cannot_be_asked_is_refused(engine):
    with pytest.raises(ValueError, match="each branch must have choices"):
        QuestionScores([])
    with pytest.raises(ValueError, match="each branch must have choices"):
        QuestionScores([Branch((1,), ((2,), ()))])
    loaded = engine("mixtral", max_batch_rows=3)
    with pytest.raises(ValueError, match="a prompt must hold at least one token"):
        loaded.submit(Request("row", [], readout=QuestionScores(QUESTIONS)))
    with pytest.raises(ValueError, match="exceed the context of 96"):
        loaded.submit(Request("row", [5] * 90, readout=QuestionScores(QUESTIONS)))
    with pytest.raises(ValueError, match=r"a token id must be in \[0, 97\), got 97"):
        loaded.submit(Request("row", [5], readout=QuestionScores([Branch((97,), ((3,),))])))
    assert loaded.idle
