"""How the masses of a job's rows are counted, added up and told."""

import pytest

from pipeline.reporting.label_mass import distribution, doubt, fact, measured
from pipeline.reporting.summary import ShardSummary

MASSES = [1.0, 0.95, 0.9, 0.6, 0.02, 1e-3, 3e-17, None]


def test_bins_hold_their_lower_bound_and_add_up_over_shards() -> None:
    whole = distribution(measured(MASSES))
    assert whole is not None
    counts = {(one["from"], one["to"]): one["rows"] for one in whole["bins"]}
    assert counts == {(0.0, 1e-12): 1, (1e-3, 1e-2): 1, (1e-2, 0.1): 1, (0.5, 0.9): 1, (0.9, 1.0): 3}
    assert whole["mean"] == pytest.approx(3.471 / 7)
    assert whole["median"] == {"from": 0.5, "to": 0.9}
    parts = [ShardSummary(1, {}, 0, 0, 0, 0, measured(part)) for part in (MASSES[:3], MASSES[3:])]
    assert distribution(ShardSummary.total(parts).totals()) == whole
    assert fact(measured(MASSES)) == "mean 0.496, median 0.5 to 0.9, 2 rows below 0.01"


def test_the_warning_comes_where_half_of_the_rows_are_tiny() -> None:
    assert doubt(measured([0.009, 0.011, 0.5])) is None
    assert doubt(measured([0.01, 0.01])) is None
    assert "less than 0.01 of its probability" in str(doubt(measured([0.009, 0.5])))
    assert "less than 1e-12 of its probability" in str(doubt(measured([3e-17] * 3)))


def test_a_job_without_a_label_has_no_distribution() -> None:
    assert (distribution({}), fact({}), doubt(measured([None]))) == (None, None, None)
