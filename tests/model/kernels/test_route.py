from itertools import chain

import pytest
import torch

from model.kernels.kernels import PLAIN
from model.kernels.route import route
from tests.model.kernels.same import check_route_of_no_numbers, drawn


@pytest.mark.parametrize("num_chosen", [1, 2, 3])
@pytest.mark.parametrize("tokens", [0, 1, 40])
def test_each_token_goes_to_its_likeliest_experts(tokens, num_chosen):
    logits = drawn(tokens, 6)
    routed = route(logits, num_chosen)
    probabilities = logits.softmax(-1)
    by_expert = [[] for _ in range(6)]
    for token in range(tokens):
        likeliest = sorted(range(6), key=lambda expert: -probabilities[token, expert])[:num_chosen]
        assert routed.chosen[token].tolist() == likeliest
        gates = probabilities[token, likeliest]
        torch.testing.assert_close(routed.weights[token], gates / gates.sum())
        for expert in likeliest:
            by_expert[expert].append(token)
    assert routed.tokens.tolist() == [*chain(*by_expert)]
    assert routed.ends.diff(prepend=torch.zeros(1)).tolist() == [*map(len, by_expert)]
    assert torch.equal(routed.tokens[routed.places], torch.arange(tokens)[:, None].expand(-1, num_chosen))
    experts = torch.searchsorted(routed.ends, routed.places.flatten(), right=True)
    assert torch.equal(experts, routed.chosen.flatten())


def test_of_equally_likely_experts_the_first_are_chosen():
    assert route(torch.tensor([[0.0, 1, 1, 1], [2, 2, 2, 2]]), 2).chosen.tolist() == [[1, 2], [0, 1]]


def test_no_numbers():
    check_route_of_no_numbers(PLAIN)
