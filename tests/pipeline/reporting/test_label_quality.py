"""How good labels are: against plain loops over the rows, from sums over any shards."""

import itertools
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.reporting.label_measures import BOUNDS, TENTHS
from pipeline.reporting.label_quality import LabelQuality
from pipeline.reporting.summary import ShardSummary

NAMES = ("billing", "shipping", 'a "quoted" name, with 日本')
TYPE = pa.list_(pa.struct([("label", pa.string()), ("prob", pa.float64())]))
Row = tuple[list[float], str | None]  # probabilities, known answer


def column(rows: list[Row]) -> pa.ChunkedArray:
    values = [
        [{"label": name, "prob": prob} for name, prob in zip(NAMES, probs, strict=True)] if probs else None
        for probs, _ in rows
    ]
    return pa.chunked_array([pa.array(values[:2], TYPE), pa.array(values[2:], TYPE)])


def reported(rows: list[Row], cuts: tuple[int, ...] = ()) -> Any:
    """Of shards that the rows are cut into."""
    quality = LabelQuality()
    bounds = [0, *cuts, len(rows)]
    parts = [rows[begin:end] for begin, end in itertools.pairwise(bounds)]
    summaries = [
        ShardSummary(
            len(part), {}, 0, 0, 0, 0, quality.measured(column(part), [answer for _, answer in part])
        )
        for part in parts
    ]
    through_json = [ShardSummary(**json.loads(json.dumps(one.to_json()))) for one in summaries]
    return quality.report(ShardSummary.total(through_json).totals())


probabilities = st.lists(st.floats(0.01, 1.0), min_size=3, max_size=3).map(
    lambda weights: [weight / sum(weights) for weight in weights]
)
answers = st.sampled_from([*NAMES, "none of them", None])
some_rows = st.lists(st.tuples(probabilities | st.just([]), answers), min_size=2, max_size=30)


@settings(max_examples=60, deadline=None)
@given(some_rows, st.data())
def test_every_figure_is_that_of_a_plain_loop(rows: list[Row], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(rows)))
    found = reported(rows, (cut,))
    labelled = [
        (max(probs), NAMES[probs.index(max(probs))], known)
        for probs, known in rows
        if probs and known is not None
    ]
    if not labelled:
        assert found is None
        return
    count = len(labelled)
    assert found["rows"] == count
    assert found["accuracy"] == pytest.approx(sum(label == known for _, label, known in labelled) / count)

    error = 0.0
    for low, high in itertools.pairwise(TENTHS):
        within = [one for one in labelled if low <= one[0] < high or one[0] == high == 1.0]
        if within:
            sure = sum(prob for prob, _, _ in within) / len(within)
            right = sum(label == known for _, label, known in within) / len(within)
            error += len(within) / count * abs(sure - right)
    assert found["expected_calibration_error"] == pytest.approx(error, abs=1e-8)

    for one in found["thresholds"]:
        above = [label == known for prob, label, known in labelled if prob >= one["from"]]
        assert (one["rows"], one["share"]) == (len(above), pytest.approx(len(above) / count))
        assert one["accuracy"] == pytest.approx(sum(above) / len(above))

    cells = {(one["known"], one["label"]): one["rows"] for one in found["confusion"]}
    assert sum(cells.values()) == count
    for known in (*NAMES, None):
        for label in NAMES:
            of_cell = sum(
                given == label and (answer if answer in NAMES else None) == known
                for _, given, answer in labelled
            )
            assert cells.get((known, label), 0) == of_cell
    for one in found["classes"]:
        name = one["label"]
        both = sum(label == known == name for _, label, known in labelled)
        given_it = sum(label == name for _, label, _ in labelled)
        had_it = sum(known == name for _, _, known in labelled)
        assert (one["given"], one["known"]) == (given_it, had_it)
        assert one["precision"] == (pytest.approx(both / given_it) if given_it else None)
        assert one["recall"] == (pytest.approx(both / had_it) if had_it else None)
    assert {one["label"] for one in found["classes"]} == {
        name for _, label, known in labelled for name in (label, known) if name in NAMES
    }


def test_shards_in_any_order_come_to_the_same() -> None:
    dice = np.random.default_rng(0)
    rows: list[Row] = []
    for _ in range(200):
        probs = dice.dirichlet([0.5] * 3)
        right = NAMES[dice.choice(3, p=probs)] if dice.random() < 0.9 else None
        rows.append((probs.tolist(), right))
    whole = reported(rows)
    assert reported(rows, (40, 41, 150)) == whole
    assert reported([*rows[90:], *rows[:90]], (17,)) == whole
    assert whole["temperature_fitted"] is not None


def test_a_bin_holds_its_lower_bound_and_the_last_one_1() -> None:
    assert [*BOUNDS] == sorted(set(BOUNDS))
    assert {*TENTHS} <= {*BOUNDS}, "a tenth is made of whole bins"
    rows: list[Row] = [([0.9, 0.1, 0.0], "billing"), ([1.0, 0.0, 0.0], "billing"), ([], "billing")]
    found = reported(rows)
    assert [(one["from"], one["rows"]) for one in found["thresholds"]] == [(0.9, 2), (0.999, 1)]
    assert [(one["from"], one["rows"]) for one in found["reliability"]] == [(0.9, 2)]
    assert found["temperature_fitted"] is None, "both are right"


def test_sums_of_two_sets_of_choices_do_not_mix() -> None:
    rows: list[Row] = [([0.5, 0.3, 0.2], "billing"), ([0.2, 0.5, 0.3], "billing")]
    one, other = LabelQuality("label_a"), LabelQuality("label_a_b")
    known = [answer for _, answer in rows]
    totals = one.measured(column(rows), known) | other.measured(column(rows[:1]), known[:1])
    of_one, of_other = one.report(totals), other.report(totals)
    assert of_one is not None
    assert of_other is not None
    assert (of_one["rows"], of_one["accuracy"], of_other["rows"]) == (2, 0.5, 1)
    assert LabelQuality("label").report(totals) is None


def test_thousands_of_choices_cost_a_cell_a_row_at_most() -> None:
    names = [f"label {number}" for number in range(3000)]
    dice = np.random.default_rng(0)
    values = [
        [
            {"label": name, "prob": prob}
            for name, prob in zip(names, dice.dirichlet(np.ones(3000)), strict=True)
        ]
        for _ in range(20)
    ]
    quality = LabelQuality()
    measured = quality.measured(pa.chunked_array([pa.array(values, TYPE)]), names[:20])
    assert sum(" cell " in name for name in measured) <= 20
    found = quality.report(measured)
    assert found is not None
    assert len(found["classes"]) <= 40
