"""Whether the published router tables and the report are what the parts of a finished job add up to."""

import io

import orjson
import pyarrow as pa

from pipeline.durable.damage import foreign, naming_damage
from pipeline.errors import DamagedFile
from pipeline.output.check_part import read_or_damaged
from pipeline.output.router_tables import published_tables
from pipeline.reporting.summary import ShardSummary
from pipeline.router.sums import Sums
from pipeline.storage.output_folder import REPORT
from pipeline.storage.sealed_parquet import read_table, whole_sha256
from pipeline.storage.store import Store


def check_published(
    store: Store, finished: bool, router: Sums | None, summary: ShardSummary | None
) -> list[DamagedFile]:
    """The damaged ones. `router` and `summary` are the sums over all parts of a finished job.

    Without them, None, each file is checked by itself: a job that is not finished has published what there
    was when its last run ended, and the sums over damaged parts are not known.
    """
    tables = published_tables(router or {})
    there = {path for path in store.list("router") if path.endswith(".parquet")}
    needed = finished and bool(router or there)  # without sums, a job may count none and have none
    found = [foreign(path) for path in sorted(there - tables.keys())]
    for path in tables:
        try:
            if path in there or needed:
                _check_table(store, path, None if router is None else tables[path])
        except DamagedFile as one:
            found.append(one)
    try:
        if finished or store.exists(REPORT):
            _check_report(store, summary)
    except DamagedFile as one:
        found.append(one)
    return found


def _check_table(store: Store, path: str, expected: pa.Table | None) -> None:
    data = read_or_damaged(store, path)
    with naming_damage(path):
        whole_sha256(data)
        if expected is not None and not read_table(io.BytesIO(data)).equals(expected):
            raise ValueError("it is not the sum of the parts' router tables")


def _check_report(store: Store, summary: ShardSummary | None) -> None:
    data = read_or_damaged(store, REPORT)
    with naming_damage(REPORT):
        report = orjson.loads(data)
        if summary is None:
            return
        sums = {
            "rows": summary.rows,
            "rows_by_status": summary.rows_by_status,
            "errors_by_code": summary.errors,
            "prompt_tokens": summary.prompt_tokens,
            "generated_tokens": summary.generated_tokens,
        }
        for key, value in sums.items():
            if report[key] not in (value, None):  # None: an interrupted run had no time to add up
                raise ValueError(f"its {key} is not the sum of the parts")
