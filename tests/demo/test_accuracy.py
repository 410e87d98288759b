"""The demo's score: right labels over labelled tickets."""

import pandas as pd

from configs.demo.accuracy import accuracy


def test_error_rows_do_not_count() -> None:
    rows = pd.DataFrame(
        [
            ("ok", "billing", "billing", "en", "known"),
            ("ok", "returns", "billing", "de", "new"),
            ("ok", "account", "account", "de", "known"),
            ("error", None, None, None, None),
        ],
        columns=["status", "label", "queue", "language", "phrasing"],
    )
    table = accuracy(rows)
    assert table.loc[("all", "all"), ["size", "sum"]].tolist() == [3, 2]
    assert table.loc[("language", "de"), "mean"] == 0.5
    assert table.loc[("phrasing", "new"), "sum"] == 0
