"""With `engine.deterministic: shard`, all replicas of all runs of a job compute on machines of one kind.

_job/machine.json         the kind of machine that the job's first replica ran on
"""

import json
from typing import Any

import orjson

from pipeline.durable.damage import naming_damage
from pipeline.durable.operations import Create, Read, Steps
from pipeline.errors import JobError

MACHINE = "_job/machine.json"


def require_same_machine(ours: dict[str, str]) -> Steps[None]:
    """`ours` describes this machine; JobError if the job's first replica ran on another kind of machine."""
    if (yield Create(MACHINE, json.dumps(ours, indent=1).encode() + b"\n")):
        return
    theirs = (yield from stored_machine()) or {}
    differences = [
        f"{key}: was {theirs.get(key)}, is {ours.get(key)}"
        for key in sorted(theirs | ours)
        if theirs.get(key) != ours.get(key)
    ]
    if differences:
        raise JobError(
            "engine.deterministic: this job's rows were begun on another kind of machine ("
            + "; ".join(differences)
            + "), which gives other bytes; use machines of that kind, or none with an output.path of its own"
        )


def stored_machine() -> Steps[dict[str, Any] | None]:
    """What describes the job's first machine, if that is known yet; DamagedFile if it can't be read."""
    if (stored := (yield Read(MACHINE))) is None:
        return None
    with naming_damage(MACHINE):
        machine: dict[str, Any] = {**orjson.loads(stored)}
    return machine
