import numpy as np
import pandas as pd
import pytest

from pipeline.router.measures import assignment_shares, load_balance, router_decisions


def experts(counts: dict[str, list[list[int]]]) -> pd.DataFrame:
    """A table from each group's counts [layers][experts]; half of them in each phase."""
    return pd.DataFrame(
        [
            {"group": group, "phase": phase, "layer": layer, "expert": expert, "selected": count}
            for group, layers in counts.items()
            for phase in ("prefill", "decode")
            for layer, row in enumerate(layers)
            for expert, count in enumerate(row)
        ]
    )


def test_shares_are_of_a_layers_assignments() -> None:
    shares = assignment_shares(experts({"a": [[1, 2, 5], [0, 0, 4]], "b": [[2, 2, 2], [1, 0, 1]]}))
    np.testing.assert_allclose(shares.loc["a"], [[1 / 8, 2 / 8, 5 / 8], [0, 0, 1]])
    np.testing.assert_allclose(shares.loc["b"], [[1 / 3] * 3, [0.5, 0, 0.5]])


def test_a_group_without_tokens_has_no_shares() -> None:
    shares = assignment_shares(experts({"a": [[1, 1]], "empty": [[0, 0]]}))
    assert shares.loc[("empty", 0)].tolist() == [0, 0]


def test_load_is_counted_over_all_groups() -> None:
    balance = load_balance(experts({"a": [[3, 0, 0, 0], [1, 1, 1, 1]], "b": [[1, 0, 0, 0], [2, 2, 2, 2]]}))
    assert balance.loc[0].to_dict() == {
        "busiest": 0,
        "largest": 1,
        "smallest": 0,
        "imbalance": 3,
        "evenness": pytest.approx(0),
    }
    assert balance.loc[1, "imbalance"] == pytest.approx(0)
    assert balance.loc[1, "evenness"] == pytest.approx(1)


def test_decisions_are_means_over_both_phases() -> None:
    layers = pd.DataFrame(
        {
            "group": "a",
            "phase": ["prefill", "decode"],
            "layer": 0,
            "tokens": [3, 1],
            "next_pairs": [2, 1],
            "repeat_first": [1, 0],
            "repeat_any": [2, 1],
            "entropy_q": [round(np.log(8) * (1 << 16)) * 2, 0],
        }
    )
    [decisions] = router_decisions(layers, 8).loc["a"].to_dict("records")
    assert decisions == {
        "entropy": pytest.approx(0.5, abs=1e-4),
        "repeat_first": pytest.approx(1 / 3),
        "repeat_any": 1,
    }
