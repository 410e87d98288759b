import numpy as np
import pytest
import torch

from model.execution import token_logprobs as module
from model.execution.token_logprobs import token_logprobs

READ, VOCABULARY = 7, 11


@pytest.fixture
def logits():
    return torch.randn(READ, VOCABULARY, generator=torch.Generator().manual_seed(0)) * 8


@pytest.mark.parametrize("at_a_time", [1, 2, 3, READ, 100])
def test_only_what_is_asked_is_kept_of_a_few_logits_at_a_time(logits, at_a_time, monkeypatch):
    monkeypatch.setattr(module, "LOGITS_AT_A_TIME", at_a_time * VOCABULARY + 1)
    sizes = []

    def head(hidden):
        sizes.append(len(hidden))
        return logits[hidden[:, 0].long()]

    asked = np.array([[0, 0, 1, 3, 3, 3, 6], [4, 4, 0, 10, 2, 3, 9]])
    found = token_logprobs(
        head, torch.arange(READ)[:, None].float(), asked, torch.from_numpy(asked), VOCABULARY
    )
    assert max(sizes) <= at_a_time
    assert sum(sizes) == READ
    expected = logits.double().log_softmax(-1)[asked[0], asked[1]]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_token_whose_logits_are_no_numbers_has_none(logits, value):
    logits[3, 5] = float(value)
    asked = np.array([[2, 3, 4], [0, 0, 0]])
    found = token_logprobs(lambda hidden: hidden, logits, asked, torch.from_numpy(asked), VOCABULARY)
    assert found.isnan().tolist() == [False, True, False]
