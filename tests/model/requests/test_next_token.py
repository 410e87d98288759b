"""How a row's reading turns logits into tokens, and when it ends; the engine's own runs: test_engine.py."""

import pytest
import torch

from model.requests.next_token import Generated, NextToken, NextTokenReading
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams

EOS = (3, 5)


def reading(should_stop=None, **params):
    return NextTokenReading(NextToken(SamplingParams(**params), should_stop), stream=0, eos_token_ids=EOS)


def logits(*tokens):
    """[M, V] under which each of these is the likeliest one."""
    return torch.nn.functional.one_hot(torch.tensor(tokens), 8).float()


def take(readings, outputs, parts):
    numbers = NextTokenReading.reduce(readings, outputs, parts)
    assert numbers.shape == (len(readings), 2)
    return NextTokenReading.take(readings, numbers, [slice(i, i + 1) for i in range(len(readings))])


def feed(one, *tokens):
    """A token a step, until the row ends -> whether it has."""
    return [take([one], logits(token), [slice(0, 1)]) for token in tokens][-1] == [True]


@pytest.mark.parametrize(
    ("params", "tokens", "reason"),
    [
        ({"max_new_tokens": 3}, [1, 2, 4], "length"),
        ({"max_new_tokens": 3}, [1, 2], None),
        ({"max_new_tokens": 3}, [1, 5], "stop"),
        ({"max_new_tokens": 2}, [1, 3], "stop"),
        ({"max_new_tokens": 3, "ignore_eos": True}, [1, 5], None),
        ({"max_new_tokens": 2, "ignore_eos": True}, [1, 5], "length"),
        ({"max_new_tokens": 3, "should_stop": lambda token: token == 2}, [1, 2], "stop"),
    ],
    ids=range(7),
)
def test_a_row_ends_at_its_length_its_eos_or_its_own_stop(params, tokens, reason):
    one = reading(**params)
    assert feed(one, *tokens) == (reason is not None)
    assert one.answer == Generated(tokens, None, reason)
    assert one.next_token == tokens[-1]


def test_the_end_of_the_sequence_is_not_shown_to_should_stop():
    shown = []
    feed(reading(shown.append, max_new_tokens=9), 1, 2, 3)
    assert shown == [1, 2]


def test_rows_read_their_own_outputs_among_those_of_others():
    plain, with_logprobs = reading(), reading(logprobs=True)
    outputs = logits(6, 1, 7, 2, 6)
    assert take([plain, with_logprobs], outputs, [slice(1, 2), slice(3, 4)]) == [False, False]
    assert plain.answer == Generated([1], None)
    assert with_logprobs.answer.token_ids == [2]
    assert with_logprobs.answer.logprobs == pytest.approx([float(outputs[3].log_softmax(-1)[2])])


def test_where_all_rows_generate_no_logits_are_copied(monkeypatch):
    sampled = []

    def sample(given, *_):
        sampled.append(given)
        return torch.zeros(2, 2)

    monkeypatch.setattr("model.sampling.sample.sample", sample)
    outputs = logits(1, 2)
    NextTokenReading.reduce([reading(), reading()], outputs, [slice(0, 1), slice(1, 2)])
    assert sampled[0] is outputs


def test_its_last_token_is_never_fed_back():
    one, many = (Request("row", [1, 2], SamplingParams(max_new_tokens=n)) for n in (1, 5))
    assert (one.wanted.kept_tokens, one.cache_tokens) == (0, 0)
    assert (many.wanted.kept_tokens, many.wanted.further_tokens, many.cache_tokens) == (4, 4, 6)
