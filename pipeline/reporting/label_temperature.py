"""The temperature by which probabilities fit known labels best, from sums that add up over shards.

With log-probabilities z of the choices and the right one y, the log loss at temperature T = 1/b is the sum
over rows of log(sum over c of exp(b z(c))) - b z(y) (Guo et al. 2017, arXiv 1706.04599, section 4.2). It is
convex in b, and its slope is the sum of E(z) - z(y), where E is the mean under the probabilities at b. The
slopes at fixed temperatures are what is added up; between two of them the slope passes 0, and there T fits
best.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

_AN_OCTAVE, _OCTAVES = 4, 5
TEMPERATURES = [2 ** (step / _AN_OCTAVE) for step in range(-_AN_OCTAVE * _OCTAVES, _AN_OCTAVE * _OCTAVES + 1)]
_ONE = 2**24  # in sums
_LEAST = 1e-300  # a smaller probability counts as this, so that its logarithm is a number


def slopes(probs: NDArray[np.float64], right: NDArray[np.intp], applied: float) -> list[int]:
    """Probabilities [n, C] at the temperature `applied`, and the right choices [n] -> the slopes.

    One for each of TEMPERATURES, a whole number in units of 1 / _ONE.
    """
    z = applied * np.log(np.maximum(probs, _LEAST))  # [n, C]
    of_right = z[np.arange(len(z)), right]  # [n]
    found = []
    for temperature in TEMPERATURES:
        weights = np.exp((z - z.max(1, keepdims=True)) / temperature)
        mean = (weights * z).sum(1) / weights.sum(1)  # [n]
        found.append(sum(map(int, np.rint((mean - of_right) * _ONE).tolist())))
    return found


def fitted(sums: Mapping[int, int]) -> float | None:
    """The slopes, by the index of their temperature -> the one of least log loss.

    None where the loss falls to the end of what is tried: all rows are right, or no better than chance.
    """
    values = [sums.get(step, 0) for step in range(len(TEMPERATURES))]  # from + to -
    for step in range(len(values) - 1):
        if values[step] > 0 >= values[step + 1]:
            return math.exp(_root(step, values))
    return None


def _root(step: int, values: list[int]) -> float:
    """log T at which the cubic through four slopes passes 0, between `step` and the next one."""
    first = min(max(step - 1, 0), len(values) - 4)
    places = [math.log(one) for one in TEMPERATURES[first : first + 4]]
    through = values[first : first + 4]

    def cubic(x: float) -> float:
        return math.fsum(
            value * math.prod((x - other) / (place - other) for other in places if other != place)
            for place, value in zip(places, through, strict=True)
        )

    low, high = math.log(TEMPERATURES[step]), math.log(TEMPERATURES[step + 1])
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if cubic(middle) > 0 else (low, middle)
    return (low + high) / 2
