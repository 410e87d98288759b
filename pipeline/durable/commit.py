"""The steps by which a shard is committed, and by which a job resumes.

They use no Ray, no clock and no I/O: the same code runs on a real store and in a simulator that stops it
between any two operations, see `operations`. How a job begins and is extended is in `job_start`, how it ends
in `success`.

    _job/router/<shard>-<hash>.parquet      a shard's router table, as an attempt counted it
    generations/part-<ordinal>-<shard>.parquet   its rows: creating this file is the commit

A part names its router table, so that creating the part commits both; a table that no part names is left from
an attempt whose part came second. Nothing is ever changed or deleted.
"""

import hashlib
from collections.abc import Callable, Container
from dataclasses import dataclass

from pipeline.durable.job_start import plan_path
from pipeline.durable.operations import Create, List, Read, Steps
from pipeline.errors import ConfigError
from pipeline.shards.plan import Plan
from pipeline.shards.shard import Shard
from pipeline.storage import output_folder

PARTS = output_folder.PARTS
ROUTER = "_job/router"
# Of a job that began without a row: no part, but a table of no row, which may be replaced.
EMPTY_TABLE = f"{PARTS}/part-empty.parquet"
# Parts in a range that is listed page by page. No multiple of a page's 1,000: it would take one more request
# to see that the range has no more names.
_BETWEEN_CUTS = 7_500


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
    return f"part-{ordinal:06d}"


def router_path(shard: Shard, sha256: str) -> str:
    return f"{ROUTER}/{shard.id}-{sha256[:16]}.parquet"


def parts_there(plan: Plan) -> Steps[set[str]]:
    """The paths of all parts, those of other plans included."""
    cuts = sorted(_part_name(ordinal) for ordinal in range(_BETWEEN_CUTS, len(plan.shards), _BETWEEN_CUTS))
    listed = yield List(PARTS, tuple(cuts))
    return {path for path in listed if path.endswith(".parquet") and path != EMPTY_TABLE}


def remaining(plan: Plan) -> Steps[list[Shard]]:
    """The shards that are not committed; ConfigError if parts of another job lie among them."""
    listed = yield from parts_there(plan)
    missing = missing_of(plan, listed)
    # More parts than committed shards: some are of no shard of this plan, since no two shards share a part.
    if len(listed) > len(plan.shards) - len(missing):
        yield from _check_strange(plan, listed)
    return missing


def missing_of(plan: Plan, listed: Container[str]) -> list[Shard]:
    """The shards whose parts are not among the `listed`."""
    return [shard for shard in plan.shards if part_path(shard) not in listed]


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
        sha256 = sha256_of(router_table)
        table = RouterTable(router_path(shard, sha256), sha256)
        yield Create(table.path, router_table)
    part = make_part(table)
    created = yield Create(part_path(shard), part)
    return Published(part_path(shard), sha256_of(part) if created else None)


def _check_strange(plan: Plan, listed: set[str]) -> Steps[None]:
    """ConfigError if some listed part is of no shard of the job."""
    strange = listed.difference(map(part_path, plan.shards))
    later = {path for path in strange if is_behind(plan, path)}
    next_file = plan_path(plan.plan_files)
    if later and (yield Read(next_file)) is not None:
        strange -= later  # another run has extended the job
    if strange:
        lacks = f", or run it with --extend if {next_file} was lost" if later else ""
        raise ConfigError(
            f"output.path: {len(strange)} files in it are not of this job, {min(strange)} for one; "
            f"choose an empty folder{lacks}"
        )


def is_behind(plan: Plan, path: str) -> bool:
    """Whether a part may be of a later plan file: its ordinal comes behind those of this plan."""
    ordinal = path.removeprefix(f"{PARTS}/part-").partition("-")[0]
    return ordinal.isdecimal() and int(ordinal) >= len(plan.shards)


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
