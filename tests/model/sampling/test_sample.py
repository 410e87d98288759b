import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.sampling.sample import sample, uniform
from model.sampling.sampling_params import SamplingParams, stream_of

MASK = (1 << 64) - 1


def tokens_of(*given):
    return [int(token) for token in sample(*given)[:, 0]]


def splitmix64(seed: int, step: int) -> int:
    """Output `step` of the generator as its authors published it (Steele, Lea and Flood 2014)."""
    x = (seed + (step + 1) * 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def test_the_published_generator():
    """Its first outputs from seed 1234567, as listed for the reference implementation."""
    outputs = [splitmix64(1234567, step) for step in range(3)]
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@given(stream=st.integers(-(1 << 63), (1 << 63) - 1), step=st.integers(0, 1 << 20))
def test_uniform_is_splitmix64(stream, step):
    (value,) = uniform(torch.tensor([stream]), torch.tensor([step])).tolist()
    assert value == (splitmix64(stream & MASK, step) >> 11) * 2.0**-53
    assert 0 <= value < 1


def distribution(logits, temperature, top_k, top_p):
    """The probabilities to draw from, in the order in which they are added up."""
    cut = top_k or top_p < 1
    order = sorted(range(len(logits)), key=lambda token: -logits[token]) if cut else range(len(logits))
    kept = order[:top_k] if top_k else order
    highest = max(logits)
    weights = {token: np.exp((logits[token] - highest) / temperature) for token in kept}
    total = sum(weights.values())
    nucleus, mass = {}, 0.0
    for token in kept:
        if mass >= top_p:
            break
        nucleus[token] = weights[token] / total
        mass += weights[token] / total
    total = sum(nucleus.values())
    return {token: probability / total for token, probability in nucleus.items()}


def draw(probabilities, u):
    """The token at which the mass passes u."""
    mass = 0.0
    for token, probability in probabilities.items():
        mass += probability
        if u < mass:
            return token
    return token


SETTINGS = [
    {"temperature": 1.0},
    {"temperature": 0.3},
    {"temperature": 2.5},
    {"temperature": 1.0, "top_k": 4},
    {"temperature": 1.0, "top_k": 1},
    {"temperature": 1.0, "top_k": 1000},
    {"temperature": 1.0, "top_p": 0.6},
    {"temperature": 1.0, "top_p": 1e-9},
    {"temperature": 1.4, "top_k": 7, "top_p": 0.8},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_draws_follow_the_distribution(settings):
    """20,000 rows with the same logits: exact against the slow oracle, and as frequent as they should be."""
    rows, vocabulary = 20_000, 12
    logits = torch.randn(vocabulary, generator=torch.Generator().manual_seed(3)) * 1.5
    streams = [stream_of(0, f"row {i}") for i in range(rows)]
    params = SamplingParams(**settings)
    tokens = tokens_of(logits.expand(rows, -1), [params] * rows, streams, [0] * rows)

    expected = distribution(logits.double().tolist(), params.temperature, params.top_k, params.top_p)
    draws = [(splitmix64(stream & MASK, 0) >> 11) * 2.0**-53 for stream in streams]
    assert tokens == [draw(expected, u) for u in draws]

    counts = np.bincount(tokens, minlength=vocabulary)
    assert counts.sum() == counts[list(expected)].sum()
    chi_square = sum((counts[token] - rows * p) ** 2 / (rows * p) for token, p in expected.items())
    freedom = len(expected) - 1
    assert chi_square <= freedom + 4 * np.sqrt(2 * freedom)


def test_settings_that_cut_do_cut():
    """Guards the test above: its settings must keep different tokens."""
    logits = (torch.randn(12, generator=torch.Generator().manual_seed(3)) * 1.5).tolist()
    params = [SamplingParams(**settings) for settings in SETTINGS]
    kept = [len(distribution(logits, p.temperature, p.top_k, p.top_p)) for p in params]
    assert len(set(kept)) >= 4
    assert min(kept) == 1


@pytest.mark.parametrize("axis", ["steps", "keys", "seeds"])
def test_draws_are_uniform_and_unrelated_along(axis):
    n = 20_000
    steps = [i if axis == "steps" else 3 for i in range(n)]
    streams = [stream_of(i if axis == "seeds" else 0, f"row {i if axis == 'keys' else 0}") for i in range(n)]
    u = uniform(torch.tensor(streams), torch.tensor(steps)).numpy()
    cells = np.histogram2d(u[:-1], u[1:], bins=8, range=[[0, 1], [0, 1]])[0]
    chi_square = ((cells - (n - 1) / 64) ** 2 / ((n - 1) / 64)).sum()
    assert chi_square <= 63 + 4 * np.sqrt(2 * 63)


@given(
    data=st.data(),
    rows=st.integers(1, 8),
)
def test_companions_change_nothing(data, rows):
    logits = torch.randn(rows, 9, generator=torch.Generator().manual_seed(data.draw(st.integers(0, 99))))
    params = [
        SamplingParams(
            temperature=data.draw(st.sampled_from([0.0, 0.5, 1.0, 3.0])),
            top_k=data.draw(st.integers(0, 9)),
            top_p=data.draw(st.sampled_from([0.1, 0.7, 1.0])),
            logprobs=data.draw(st.booleans()),
        )
        for _ in range(rows)
    ]
    streams = [stream_of(0, str(row)) for row in range(rows)]
    steps = data.draw(st.lists(st.integers(0, 50), min_size=rows, max_size=rows))
    together = sample(logits, params, streams, steps).tolist()
    for row in data.draw(st.permutations(range(rows))):
        [alone] = sample(logits[row : row + 1], [params[row]], [streams[row]], [steps[row]]).tolist()
        assert alone[0] == together[row][0]
        if params[row].logprobs:
            assert alone[1] == pytest.approx(together[row][1], abs=1e-6)
            assert alone[1] == pytest.approx(float(logits[row].log_softmax(-1)[int(alone[0])]), abs=1e-6)


@pytest.mark.parametrize("temperature", [1e-320, 1e-300, 1e-9])
def test_temperatures_near_zero_are_greedy(temperature):
    logits = torch.tensor([[1.0, 3.0, 2.0], [-5.0, -9.0, -7.0]]) * 100
    tokens = tokens_of(logits, [SamplingParams(temperature=temperature)] * 2, [1, 2], [0, 0])
    assert tokens == [1, 0]


def test_temperatures_without_end_are_uniform():
    logits = torch.tensor([[1.0, 3.0, 2.0, -50.0]]).expand(4000, -1)
    streams = [stream_of(0, str(row)) for row in range(4000)]
    tokens = tokens_of(logits, [SamplingParams(temperature=1e300)] * 4000, streams, [0] * 4000)
    assert np.bincount(tokens).min() > 900


def test_impossible_tokens_are_never_drawn():
    logits = torch.tensor([[0.0, float("-inf"), 0.0, float("-inf")]]).expand(1000, -1)
    streams = [stream_of(0, str(row)) for row in range(1000)]
    tokens = tokens_of(logits, [SamplingParams(temperature=1.0)] * 1000, streams, [0] * 1000)
    assert set(tokens) == {0, 2}


def test_top_p_keeps_no_more_than_it_needs():
    """Two tokens of exactly one half each: the first reaches top_p, the second is beyond it."""
    streams = [stream_of(0, str(row)) for row in range(100)]
    for top_p, kept in ((0.5, {0}), (0.500001, {0, 1})):
        tokens = tokens_of(
            torch.zeros(100, 2), [SamplingParams(temperature=1.0, top_p=top_p)] * 100, streams, [0] * 100
        )
        assert set(tokens) == kept


@pytest.mark.parametrize(
    "settings", [{}, {"top_k": 900}, {"top_p": 0.95}, {"top_k": 900, "top_p": 0.5}], ids=str
)
@pytest.mark.parametrize("spread", [0.01, 3.0])
def test_tokens_of_large_vocabularies(settings, spread):
    """Where top_p keeps more than the first that are tried, and where it does not; with many equal logits."""
    rows, vocabulary = 16, 5000
    logits = torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(5)) * spread
    logits = logits.bfloat16()
    params = SamplingParams(temperature=0.9, **settings)
    streams = [stream_of(1, str(row)) for row in range(rows)]
    found = tokens_of(logits, [params] * rows, streams, [7] * rows)
    for row, token in enumerate(found):
        expected = distribution(logits[row].double().tolist(), 0.9, params.top_k, params.top_p)
        assert token == draw(expected, (splitmix64(streams[row] & MASK, 7) >> 11) * 2.0**-53)


def test_rows_whose_logits_are_no_numbers_get_some_token():
    logits = torch.full((4, 6), float("nan"))
    params = [SamplingParams(temperature=1.0, **cut) for cut in ({}, {"top_k": 2}, {"top_p": 0.5})]
    assert all(0 <= token < 6 for token in tokens_of(logits, [*params, SamplingParams()], [0] * 4, [0] * 4))
