import pytest

from model.requests.choice_scores import ChoiceScores
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams


@pytest.mark.parametrize(
    ("prompt", "choices", "message"),
    [
        ([], None, "at least one token"),
        ([5, 97], None, r"a token id must be in \[0, 97\), got 97"),
        ([-1], None, r"a token id must be in \[0, 97\), got -1"),
        ([5], [[3, 97]], r"a token id must be in \[0, 97\), got 97"),
        ([5], [[97, 3]], r"a token id must be in \[0, 97\), got 97"),
        ([5] * 97, None, "97 prompt tokens and 3 further ones exceed the context of 96"),
        ([5] * 94, None, "94 prompt tokens and 3 further ones exceed the context of 96"),
        ([5] * 94, [[1, 2, 3, 4]], "94 prompt tokens and 3 further ones exceed the context of 96"),
        ([5] * 62, None, r"a row of 65 tokens exceeds kv_cache_tokens \(64\)"),
    ],
    ids=str,
)
def test_rows_that_can_never_run_are_refused(prompt, choices, message, engine):
    small = engine("mixtral", max_batch_rows=3, kv_cache_tokens=60)
    scores = None if choices is None else ChoiceScores.of(choices)
    request = Request("row", prompt, None if scores else SamplingParams(max_new_tokens=4), scores)
    with pytest.raises(ValueError, match=message):
        small.submit(request)
    assert small.idle
