"""The steps by which a job begins, commits a shard, resumes and ends, free of Ray, clocks and I/O.

Each is a generator that yields operations on the store and is sent their results, so that the same code
runs on a real store (`execute`) and in a simulator that stops it between any two operations.

    _job/spec.json                          what the job is; the first run's wins
    _job/plan-000.parquet                   its shards; the first run's wins
    _job/router/<shard>-<hash>.parquet      a shard's router table, as an attempt counted it
    generations/part-<ordinal>-<shard>.parquet   its rows: creating this file is the commit
    _SUCCESS                                written last

A part names its router table, so the one atomic creation picks the pair; tables that no part names are
leftovers of attempts that lost. Nothing is ever changed or deleted.
"""

import hashlib
import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pipeline.durable.spec import require_same, spec_bytes
from pipeline.errors import ConfigError
from pipeline.reading.plan import Plan, Shard
from pipeline.storage.store import Store

SPEC = "_job/spec.json"
PLAN = "_job/plan-000.parquet"
SUCCESS = "_SUCCESS"
PARTS = "generations"


@dataclass(frozen=True)
class Create:
    """Create if absent; the result tells whether this operation created it."""

    path: str
    data: bytes


@dataclass(frozen=True)
class Read:
    """The bytes, or None if there is no such file."""

    path: str


@dataclass(frozen=True)
class List:
    """The paths of the files in a folder."""

    prefix: str


Operation = Create | Read | List


@dataclass(frozen=True)
class RouterTable:
    """What a part's footer says of the router table that belongs to it."""

    path: str
    sha256: str


@dataclass(frozen=True)
class Published:
    path: str
    sha256: str | None  # None: another attempt had committed the shard before


Returned = TypeVar("Returned")
Steps = Generator[Operation, Any, Returned]


def execute(steps: Steps[Returned], store: Store) -> Returned:
    """Run steps on a store and return what they return; the store's exceptions pass through."""
    result: Any = None
    while True:
        try:
            operation = steps.send(result)
        except StopIteration as stop:
            returned: Returned = stop.value
            return returned
        result = apply(operation, store)


def apply(operation: Operation, store: Store) -> Any:
    """What a store answers to an operation; its exceptions pass through."""
    if isinstance(operation, Create):
        return store.create(operation.path, operation.data)
    if isinstance(operation, List):
        return store.list(operation.prefix)
    try:
        return store.read(operation.path)
    except FileNotFoundError:
        return None


def part_path(shard: Shard) -> str:
    return f"{PARTS}/part-{shard.ordinal:06d}-{shard.id}.parquet"


def router_path(shard: Shard, sha256: str) -> str:
    return f"_job/router/{shard.id}-{sha256[:16]}.parquet"


def start(spec: Mapping[str, Any], make_plan: Callable[[], bytes]) -> Steps[bytes]:
    """Begin or resume: the plan that the store holds (as `Plan.to_parquet` wrote it), whoever made it.

    ConfigError if the folder is another job's. `make_plan` is called only where there is no plan yet, and
    before anything is written: input that cannot be planned leaves no trace.
    """
    stored_plan = yield from begun(spec)
    if stored_plan is not None:
        return stored_plan
    plan = make_plan()
    require_same((yield from _first_wins(SPEC, spec_bytes(spec))), spec)
    return (yield from _first_wins(PLAN, plan))


def begun(spec: Mapping[str, Any]) -> Steps[bytes | None]:
    """The plan of a job that has begun here, or None; ConfigError if the folder is another job's."""
    stored_spec = yield Read(SPEC)
    if stored_spec is None:
        return None
    require_same(stored_spec, spec)
    stored_plan: bytes | None = yield Read(PLAN)
    return stored_plan


def remaining(plan: Plan) -> Steps[list[Shard]]:
    """The shards that are not committed; ConfigError if parts of another job lie among them."""
    committed = yield from _committed(plan)
    return [shard for shard in plan.shards if part_path(shard) not in committed]


def publish(
    shard: Shard,
    router_table: bytes | None,
    make_part: Callable[[RouterTable | None], bytes],
) -> Steps[Published]:
    """Commit a shard's rows.

    `make_part` gets the router table's name and hash for the part's footer (None: there is no table). The
    name follows from the content, so attempts share a table only where they counted the same.
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
    plan: Plan, summary: Mapping[str, Any], published: Mapping[str, str | None] | None = None
) -> Steps[dict[str, Any]]:
    """Write `_SUCCESS` once every shard is committed, and return what it holds.

    `summary` (rows by status and the like) is put into it. Parts are hashed as the store holds them;
    `published` may give the hashes, by path, of those that this run created itself.
    """
    known = dict(published or {})
    committed = yield from _committed(plan)
    missing = [shard.id for shard in plan.shards if part_path(shard) not in committed]
    if missing:
        raise ValueError(f"finalize needs every shard committed, but {len(missing)} are not: {missing[:5]}")
    parts = []
    for shard in plan.shards:
        path = part_path(shard)
        sha256 = known.get(path) or _sha256((yield Read(path)))
        parts.append({"path": path, "sha256": sha256, "rows": shard.rows})
    success = {**summary, "format_version": 1, "rows": plan.rows, "parts": parts}
    stored = yield from _first_wins(SUCCESS, json.dumps(success, indent=1, sort_keys=True).encode() + b"\n")
    result: dict[str, Any] = json.loads(stored)
    return result


def _first_wins(path: str, data: bytes) -> Steps[bytes]:
    """Create `path` and return what it holds in the end: ours, or what another wrote before."""
    if (yield Create(path, data)):
        return data
    stored: bytes = yield Read(path)
    return stored


def _committed(plan: Plan) -> Steps[set[str]]:
    paths = {path for path in (yield List(PARTS)) if path.endswith(".parquet")}
    foreign = sorted(paths - {part_path(shard) for shard in plan.shards})
    if foreign:
        raise ConfigError(
            f"output.path: {len(foreign)} files in it are not of this job, {foreign[0]} for one; "
            "choose an empty folder"
        )
    return paths


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
