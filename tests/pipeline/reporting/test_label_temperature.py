"""The temperature that fits best: against a plain search over the rows, from sums over any shards."""

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.reporting.label_temperature import TEMPERATURES, fitted, slopes

Floats = NDArray[np.float64]


def answers(true_temperature: float, rows: int, choices: int, seed: int) -> tuple[Floats, NDArray[np.intp]]:
    """Probabilities of a model that is too sure by that factor, and right choices drawn from fitting ones."""
    dice = np.random.default_rng(seed)
    z = dice.normal(0, 3 * true_temperature, (rows, choices))
    fit = softmax(z / true_temperature)
    right = np.array([dice.choice(choices, p=of_row) for of_row in fit])
    return softmax(z), right


def softmax(z: Floats) -> Floats:
    weights = np.exp(z - z.max(1, keepdims=True))
    return np.asarray(weights / weights.sum(1, keepdims=True))


def searched(probs: Floats, right: NDArray[np.intp]) -> float:
    """The best of a fine grid, by the log loss over all rows."""
    z = np.log(np.maximum(probs, 1e-300))
    grid = np.geomspace(1 / 32, 32, 4001)
    losses = [-np.log(softmax(z / t)[np.arange(len(z)), right] + 1e-300).mean() for t in grid]
    return float(grid[int(np.argmin(losses))])


def sums(probs: Floats, right: NDArray[np.intp], applied: float = 1.0) -> dict[int, int]:
    return dict(enumerate(slopes(probs, right, applied)))


@pytest.mark.parametrize(("temperature", "choices"), [(0.4, 2), (1.0, 3), (1.7, 5), (6.0, 2)])
def test_it_is_that_of_a_plain_search(temperature: float, choices: int) -> None:
    probs, right = answers(temperature, 400, choices, seed=choices)
    assert fitted(sums(probs, right)) == pytest.approx(searched(probs, right), rel=3e-3)


def test_sums_of_shards_give_the_same_as_all_rows_together() -> None:
    probs, right = answers(2.0, 300, 3, seed=7)
    parts: Counter[int] = Counter()
    for begin, end in ((0, 1), (1, 120), (120, 300)):
        parts.update(sums(probs[begin:end], right[begin:end]))
    assert dict(parts) == sums(probs, right)


def test_what_was_applied_already_is_taken_out() -> None:
    """So that the one that fits can be written into the job file, whatever stands there."""
    probs, right = answers(1.7, 600, 4, seed=3)
    applied = softmax(np.log(probs) / 2.5)
    assert fitted(sums(applied, right, 2.5)) == pytest.approx(fitted(sums(probs, right)), rel=1e-5)


@pytest.mark.parametrize("right", [[0, 0, 0], [1, 1, 1]])
def test_none_fits_where_all_are_right_or_all_are_wrong(right: list[int]) -> None:
    probs = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]])
    assert fitted(sums(probs, np.array(right))) is None
    assert fitted({}) is None


def test_probabilities_of_0_are_counted_as_tiny_ones() -> None:
    probs = np.array([[1.0, 0.0], [0.7, 0.3], [0.6, 0.4]])
    found = slopes(probs, np.array([1, 0, 0]), 1.0)
    assert len(found) == len(TEMPERATURES)
    assert all(abs(one) < 2**24 * 1000 for one in found)
