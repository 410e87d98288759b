"""How much probability the model gives to all choices together: its distribution over a job's rows.

The probabilities of the choices are divided by this sum, so they add up to 1 however small it is. Where it is
tiny, the model would rather have said something else, and the label is the best of answers that it would
hardly give: the prompt may lack the model's chat format, or the choices be spelled as it would not say them.

Rows are counted in bins, whose sums over shards do not depend on their order.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Any

# Bounds of the bins. A bin holds its lower bound, the last one also 1.
BOUNDS = (0.0, *(10.0**-decade for decade in range(12, 0, -1)), 0.5, 0.9, 1.0)
# The warning: at least half of the rows are below. Choices that the prompt names usually have most of the
# probability (the demo's mean is 0.999), and 0.01 leaves room for a model that was not trained to answer so
# briefly; a wrong chat format, or choices cut into other tokens, end far below.
TINY = 0.01
_ONE = 2**32  # in sums
_SUM = "label_mass_q"  # in units of 1 / _ONE
_BINS = [f"label_mass_from_{bound:g}" for bound in BOUNDS[:-1]]


def measured(masses: Iterable[float | None]) -> dict[str, int]:
    """Whole numbers that can be added up over shards; nulls are of error rows."""
    numbers: dict[str, int] = {}
    for value in masses:
        if value is not None:
            bin_ = _BINS[min(bisect_right(BOUNDS, value), len(_BINS)) - 1]
            numbers[bin_] = numbers.get(bin_, 0) + 1
            numbers[_SUM] = numbers.get(_SUM, 0) + round(value * _ONE)
    return numbers


def distribution(totals: Mapping[str, int]) -> dict[str, Any] | None:
    """Mean, the bin of the median, and all bins that have rows; None without a labelled row."""
    bins: list[dict[str, Any]] = [
        {"from": low, "to": high, "rows": totals[name]}
        for name, low, high in zip(_BINS, BOUNDS, BOUNDS[1:], strict=False)
        if totals.get(name)
    ]
    rows = sum(one["rows"] for one in bins)
    if not rows:
        return None
    below, median = 0, bins[0]
    for one in bins:
        below, median = below + one["rows"], one
        if 2 * below >= rows:
            break
    mean = totals[_SUM] / _ONE / rows
    return {"mean": mean, "median": {"from": median["from"], "to": median["to"]}, "bins": bins}


def fact(totals: Mapping[str, int]) -> str | None:
    """The distribution in a line."""
    found = distribution(totals)
    if found is None:
        return None
    tiny = sum(one["rows"] for one in found["bins"] if one["to"] <= TINY)
    median = found["median"]
    between = f"median {median['from']:g} to {median['to']:g}"
    return f"mean {found['mean']:.3g}, {between}, {tiny:,} rows below {TINY:g}"


def doubt(totals: Mapping[str, int], column: str = "label_mass") -> str | None:
    """The warning, if the median is below TINY."""
    found = distribution(totals)
    if found is None or found["median"]["to"] > TINY:
        return None
    return (
        "in at least half of the rows the model gives all choices together less than "
        f"{found['median']['to']:g} of its probability (column {column}): it would rather say something "
        "else, so the labels may mean nothing although their probabilities sum to 1; look at the prompt's "
        "chat format and the choices' spelling with `python -m jobs plan --show 1`, and at "
        "docs/labelling.md#label-mass"
    )
