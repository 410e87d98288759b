"""The steps by which a job ends: each of its plan files gets its `_SUCCESS`.

    _SUCCESS                every part of plan-000 is there; names each with its sha256
    _SUCCESS-001            the same for plan-001, and so on

A job is complete when each of its plan files has one. A job that is extended is incomplete again, while the
_SUCCESS of its first plan file stays true.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from pipeline.durable.commit import part_path, remaining, sha256_of
from pipeline.durable.damage import naming_damage
from pipeline.durable.operations import Create, Read, Steps
from pipeline.errors import JobError
from pipeline.shards.plan import Plan
from pipeline.shards.shard import Shard

SUCCESS = "_SUCCESS"
_READABLE = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE


def success_path(number: int) -> str:
    """The _SUCCESS of the plan file with this number."""
    return f"{SUCCESS}-{number:03d}" if number else SUCCESS


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


def require_success(
    path: str, stored: bytes, shards: Sequence[Shard], hashes: Mapping[str, str] = {}
) -> None:
    """DamagedFile if a `_SUCCESS` does not name the parts of these shards.

    The same if it names another hash for a part than `hashes` has, by path.
    """
    with naming_damage(path):
        parts = orjson.loads(stored)["parts"]
        if [part["path"] for part in parts] != [part_path(shard) for shard in shards]:
            raise ValueError("it does not name the parts of its plan")
        for part in parts:
            if part["sha256"] != hashes.get(part["path"], part["sha256"]):
                raise ValueError(f"it names another hash than that of {part['path']}")


def _hashed(shards: Iterable[Shard], known: Mapping[str, str | None]) -> Steps[dict[str, str]]:
    hashes = {}
    for shard in shards:
        path = part_path(shard)
        sha256 = known.get(path)
        if sha256 is None:
            part = yield Read(path)
            if part is None:
                raise _lost([shard])
            sha256 = sha256_of(part)
        hashes[path] = sha256
    return hashes


def _lost(shards: Sequence[Shard]) -> JobError:
    return JobError(
        f"output.path lacks {len(shards)} shards that were committed, {shards[0].id} for one: all machines "
        "must see the same folder; run the same command again"
    )
