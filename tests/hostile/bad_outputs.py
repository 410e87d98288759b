"""Outputs of a job that were damaged before it goes on: what it says, and what `verify` names."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests import small_output
from tests.hostile.case import Case

Damage = Callable[[Path], None]


def _output(damage: Callable[[Path], None], finished: bool = False) -> Callable[[Path], dict[str, Any]]:
    """Every shard is committed; the damage is done to the folder."""

    def make(folder: Path) -> dict[str, Any]:
        data = small_output.job_data(folder)
        job, store, plan = small_output.begin(data)
        small_output.commit(job, store, plan.shards)
        if finished:
            small_output.finish(job, store, plan)
        damage(folder / "out")
        return data

    return make


def _file(pattern: str, change: Callable[[bytes], bytes]) -> Damage:
    def damage(out: Path) -> None:
        file = sorted(out.glob(pattern))[0]
        file.write_bytes(change(file.read_bytes()))

    return damage


def _empty(data: bytes) -> bytes:
    return b""


def _cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def _foreign(data: bytes) -> bytes:
    return b"PAR1" + b"no file of this job" * 99 + b"PAR1"


def _flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 16]) + data[middle + 1 :]


def _footer_claims_much(data: bytes) -> bytes:
    """A footer of 2 GB, and pages of zeros."""
    return data[:4] + bytes(len(data) - 12) + (2**31 - 1).to_bytes(4, "little") + data[-4:]


def _another_shard_s(out: Path) -> None:
    first, second, _ = sorted(out.glob("generations/*"))
    shutil.copy(second, first)


def _no_table(out: Path) -> None:
    sorted(out.glob("_job/router/*"))[0].unlink()


def _case(damage: Damage, path: str, what: str, finished: bool = False) -> Case:
    refused = rf"output\.path: {path}\S* is damaged \({what}.*\): .*\|.*{path}"
    return Case(_output(damage, finished), refused=refused, resumes=True)


_PARTS, _TABLES, _PLAN = "generations/part-000000", "_job/router/", r"_job/plan-000\.parquet"
_SPEC = r"_job/spec\.json"

OUTPUTS = {
    "an empty part": _case(_file("generations/*", _empty), _PARTS, "it is empty"),
    "a part cut short": _case(_file("generations/*", _cut), _PARTS, "it was cut"),
    "a part that is none": _case(_file("generations/*", _foreign), _PARTS, "it was cut, or it is no file"),
    "a part of another shard": _case(_another_shard_s, _PARTS, "it was written as "),
    "a part with a flipped bit": _case(_file("generations/*", _flipped), _PARTS, "its bytes"),
    "a part with a huge footer": _case(
        _file("generations/*", _footer_claims_much), _PARTS, "it was cut", finished=True
    ),
    "a finished job's empty part": _case(
        _file("generations/*", _empty), _PARTS, "it was cut, or it is no sound", finished=True
    ),
    "a router table with a flipped bit": _case(_file("_job/router/*", _flipped), _TABLES, "its bytes"),
    "a router table cut short": _case(_file("_job/router/*", _cut), _TABLES, "its bytes", finished=True),
    "no router table": _case(_no_table, _TABLES, "it is missing", finished=True),
    "an empty plan": _case(_file("_job/plan-*", _empty), _PLAN, "it is empty"),
    "a plan cut short": _case(_file("_job/plan-*", _cut), _PLAN, "it was cut"),
    "a plan with a flipped bit": _case(_file("_job/plan-*", _flipped), _PLAN, "its bytes", finished=True),
    "a plan that is none": _case(_file("_job/plan-*", _foreign), _PLAN, "it was cut, or it is no file"),
    "an empty spec": _case(_file("_job/spec.json", _empty), _SPEC, "it is not one of mixtray"),
    "a spec with a flipped bit": _case(_file("_job/spec.json", _flipped), _SPEC, "it"),
    "a spec of brackets": _case(_file("_job/spec.json", lambda _: b"[" * 10**6), _SPEC, "it is not one"),
    "an empty _SUCCESS": _case(_file("_SUCCESS", _empty), "_SUCCESS", "it is not what", finished=True),
    "a _SUCCESS cut short": _case(_file("_SUCCESS", _cut), "_SUCCESS", "it is not what", finished=True),
}
