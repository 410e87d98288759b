"""How often the demo's labels agree with the queues that the tickets are known to belong to.

python -m configs.demo.accuracy [out/demo]
"""

import sys

import pandas as pd


def accuracy(rows: pd.DataFrame) -> pd.DataFrame:
    """Count tickets and right labels, of all and by language and phrasing; error rows are left out."""
    labelled = rows[rows["status"] == "ok"]
    right = labelled["label"] == labelled["queue"]
    groups = {"all": right.groupby(pd.Series("all", index=right.index))}
    groups |= {column: right.groupby(labelled[column]) for column in ("language", "phrasing")}
    return pd.concat({name: group.agg(["size", "sum", "mean"]) for name, group in groups.items()})


def main() -> None:
    table = accuracy(pd.read_parquet((sys.argv[1] if len(sys.argv) > 1 else "out/demo") + "/generations"))
    for (column, value), row in table.iterrows():
        name = "all tickets" if column == "all" else f"{column} {value}"
        print(f"{name:18} {row['sum']:5.0f} of {row['size']:5.0f} labels right  {row['mean']:6.1%}")


if __name__ == "__main__":
    main()
