"""The steps by which a shard is committed, and by which a job resumes and ends.

They use no Ray, no clock and no I/O: the same code runs on a real store and in a simulator that stops it
between any two operations, see `operations`. How a job begins and is extended is in `job_start`.

    _job/router/<shard>-<hash>.parquet      a shard's router table, as an attempt counted it
    generations/part-<ordinal>-<shard>.parquet   its rows: creating this file is the commit
    _SUCCESS                                every part of plan-000 is there; names each with its sha256
    _SUCCESS-001                            the same for plan-001, and so on

A part names its router table, so that creating the part commits both; a table that no part names is left from
an attempt whose part came second. A job is complete when each of its plan files has its _SUCCESS. A job that
is extended is incomplete again, while the _SUCCESS of its first plan file stays true. Nothing is ever changed
or deleted.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from pipeline.durable.damage import naming_damage
from pipeline.durable.job_start import plan_path
from pipeline.durable.operations import Create, List, Read, Steps
from pipeline.errors import ConfigError, JobError
from pipeline.shards.plan import Plan
from pipeline.shards.shard import Shard
from pipeline.storage import output_folder

SUCCESS = "_SUCCESS"
PARTS = output_folder.PARTS
ROUTER = "_job/router"
# Of a job that began without a row: no part, but a table of no row, which may be replaced.
EMPTY_TABLE = f"{PARTS}/part-empty.parquet"
# Parts in a range that is listed page by page. No multiple of a page's 1,000: it would take one more request
# to see that the range has no more names.
_BETWEEN_CUTS = 7_500
_READABLE = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE


@dataclass(frozen=True)
class RouterTable:
    """The router table that a part's footer names."""

    path: str
    sha256: str


@dataclass(frozen=True)
class Published:
    path: str
    sha256: str | None  # None if another attempt committed this part first


def part_path(shard: Shard) -> str:
    return f"{PARTS}/{_part_name(shard.ordinal)}-{shard.id}.parquet"


def _part_name(ordinal: int) -> str:
    """How the name of a shard's part begins."""
    return f"part-{ordinal:06d}"


def router_path(shard: Shard, sha256: str) -> str:
    return f"{ROUTER}/{shard.id}-{sha256[:16]}.parquet"


def success_path(number: int) -> str:
    """The _SUCCESS of the plan file with this number."""
    return f"{SUCCESS}-{number:03d}" if number else SUCCESS


def parts_there(plan: Plan) -> Steps[set[str]]:
    """The paths of all parts, those of other plans included."""
    cuts = sorted(_part_name(ordinal) for ordinal in range(_BETWEEN_CUTS, len(plan.shards), _BETWEEN_CUTS))
    listed = yield List(PARTS, tuple(cuts))
    return {path for path in listed if path.endswith(".parquet") and path != EMPTY_TABLE}


def remaining(plan: Plan) -> Steps[list[Shard]]:
    """The shards that are not committed; ConfigError if parts of another job lie among them."""
    listed = yield from parts_there(plan)
    missing = [shard for shard in plan.shards if part_path(shard) not in listed]
    # More parts than committed shards: some are of no shard of this plan, since no two shards share a part.
    if len(listed) > len(plan.shards) - len(missing):
        yield from _check_strange(plan, listed)
    return missing


def publish(
    shard: Shard,
    router_table: bytes | None,
    make_part: Callable[[RouterTable | None], bytes],
) -> Steps[Published]:
    """Commit a shard's rows.

    `make_part` gets the router table's path and hash for the part's footer (None: there is no table). The
    path follows from the content, so that attempts share a table only if their counts are equal.
    """
    table = None
    if router_table is not None:
        sha256 = _sha256(router_table)
        table = RouterTable(router_path(shard, sha256), sha256)
        yield Create(table.path, router_table)
    part = make_part(table)
    created = yield Create(part_path(shard), part)
    return Published(part_path(shard), _sha256(part) if created else None)


def finalize(
    plan: Plan,
    summaries: Sequence[Mapping[str, Any]],
    known: Mapping[str, str | None] = {},
) -> Steps[None]:
    """Write the `_SUCCESS` of every plan file once all shards of `plan` are committed.

    Each file gets one of `summaries` (rows by status and the like). Parts are read from the store and hashed,
    but for those whose hash `known` has, by path, because this run created or read them. DamagedFile if there
    is such a file already that names other parts.
    """
    missing = yield from remaining(plan)
    if missing:
        raise _lost(missing)
    by_file = list(zip(plan.by_plan_file(), summaries, strict=True))
    for number in reversed(range(len(by_file))):  # _SUCCESS itself, which users look for, comes last
        shards, summary = by_file[number]
        if (stored := (yield Read(success_path(number)))) is not None:
            require_success(success_path(number), stored, shards)
            continue
        hashes = yield from _hashed(shards, known)
        yield Create(success_path(number), success_bytes(shards, summary, hashes))


def success_bytes(shards: Iterable[Shard], summary: Mapping[str, Any], hashes: Mapping[str, str]) -> bytes:
    """The `_SUCCESS` of a plan file; `hashes` are those of its parts, by path."""
    parts = [
        {"path": path, "sha256": hashes[path], "rows": shard.rows}
        for shard in shards
        for path in [part_path(shard)]
    ]
    success = {
        **summary,
        "format_version": 1,
        "rows": sum(part["rows"] for part in parts),
        "parts": parts,
    }
    return orjson.dumps(success, option=_READABLE)


def require_success(path: str, stored: bytes, shards: Sequence[Shard]) -> None:
    """DamagedFile if a `_SUCCESS` does not name the parts of these shards."""
    with naming_damage(path):
        named = [part["path"] for part in orjson.loads(stored)["parts"]]
        if named != [part_path(shard) for shard in shards]:
            raise ValueError("it does not name the parts of its plan")


def _hashed(shards: Iterable[Shard], known: Mapping[str, str | None]) -> Steps[dict[str, str]]:
    hashes = {}
    for shard in shards:
        path = part_path(shard)
        sha256 = known.get(path)
        if sha256 is None:
            part = yield Read(path)
            if part is None:
                raise _lost([shard])
            sha256 = _sha256(part)
        hashes[path] = sha256
    return hashes


def _lost(shards: Sequence[Shard]) -> JobError:
    return JobError(
        f"output.path lacks {len(shards)} shards that were committed, {shards[0].id} for one: all machines "
        "must see the same folder; run the same command again"
    )


def _check_strange(plan: Plan, listed: set[str]) -> Steps[None]:
    """ConfigError if some listed part is of no shard of the job."""
    strange = sorted(listed.difference(map(part_path, plan.shards)))
    if (yield Read(plan_path(plan.plan_files))) is not None:
        # Another run has extended the job; the ordinals of its parts begin where those of this plan end.
        strange = [path for path in strange if _ordinal(path) < len(plan.shards)]
    if strange:
        raise ConfigError(
            f"output.path: {len(strange)} files in it are not of this job, {strange[0]} for one; "
            "choose an empty folder"
        )


def _ordinal(path: str) -> int:
    ordinal = path.removeprefix(f"{PARTS}/part-").partition("-")[0]
    return int(ordinal) if ordinal.isdecimal() else -1


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
