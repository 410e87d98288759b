"""Rows whose logits are no numbers end alone; the rows beside them are unharmed."""

import pytest

from model.engine import Engine
from model.requests.choice_scores import ChoiceScores
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams

NEW_TOKENS = 12


@pytest.fixture(scope="module")
def broken(oracle, prompts, tmp_path_factory):
    """The mixtral variant with NaN for the embedding of one token that prompts[0]'s generation brings up."""
    original = oracle("mixtral")
    token = original.generate(tuple(prompts[0]), NEW_TOKENS)[3]
    folder = tmp_path_factory.mktemp("broken")
    weights = original.model.state_dict()
    embedding = weights["model.embed_tokens.weight"].clone()
    embedding[token] = float("nan")
    original.model.save_pretrained(folder, state_dict=weights | {"model.embed_tokens.weight": embedding})
    engine = Engine.load(folder, threads=1, max_batch_rows=4)
    yield engine, token
    engine.close()


def test_nan_logits_end_their_row_alone(broken, oracle, prompts):
    engine, token = broken
    rows = [*prompts, [5, token, 6]] * 2
    completions = engine.generate(rows, SamplingParams(max_new_tokens=NEW_TOKENS))
    harmed = 0
    for prompt, completion in zip(rows, completions, strict=True):
        if token in prompt:
            expected, nan = [], True
        else:
            expected = oracle("mixtral").generate(tuple(prompt), NEW_TOKENS)
            nan = token in expected[:-1]
            expected = expected[: expected.index(token) + 1] if nan else expected
        assert (completion.token_ids, completion.failure) == (expected, "nan_logits" if nan else None)
        assert completion.finish_reason == (None if nan else "length")
        harmed += nan
    assert 4 <= harmed < len(rows) - 4


def test_nan_logits_of_a_choice(broken, oracle, prompts):
    engine, token = broken
    prompt = next(p for p in prompts if token not in p)
    fine = ChoiceScores.of([[3], [4, 5]])
    harmed = ChoiceScores.of([[3], [token, 5]])
    first, second, third = engine.run(
        [
            Request("a", prompt, readout=fine),
            Request("b", prompt, readout=harmed),
            Request("c", prompt, readout=fine),
        ]
    )
    assert (second.failure, second.answer) == ("nan_logits", None)
    assert first.failure is None
    assert first.answer == pytest.approx(third.answer)
    assert first.answer[0] == pytest.approx(
        float(oracle("mixtral").logits(prompt)[-1].log_softmax(-1)[3]), abs=1e-5
    )


def test_infinite_logits_are_no_results(oracle, prompts, tmp_path):
    """As fp16 gives where a logit overflows: greedy would take the token, with NaN for its logprob."""
    original = oracle("mixtral").model
    head = original.state_dict()["lm_head.weight"].clone()
    head[3] = 0
    head[3, 0] = float("inf")
    original.save_pretrained(tmp_path, state_dict=original.state_dict() | {"lm_head.weight": head})
    engine = Engine.load(tmp_path, threads=1)
    for completion in engine.generate(prompts, SamplingParams(max_new_tokens=2, logprobs=True)):
        assert (completion.token_ids, completion.logprobs, completion.failure) == ([], [], "nan_logits")
