"""What `engine.deterministic: shard` holds fixed, beside running each shard alone.

A result's last bits depend on the rows that are computed with it, on how many threads share a sum, and on the
kind of machine. So batch, cache and threads get sizes that follow from the job alone, and all replicas of all
runs of a job must be on machines that compute alike.
"""

import json

from model.engine import Engine
from pipeline.config.job import JobConfig
from pipeline.durable.operations import Create, Read, Steps
from pipeline.errors import JobError

MACHINE = "_job/machine.json"
_THREADS = 1
_BATCH_ROWS = 128
_CACHE_TOKENS = 65_536


def with_fixed_sizes(config: JobConfig, longest: int) -> JobConfig:
    """The job with numbers in the place of `auto`, where it must not depend on the machine's memory.

    `longest` is what the longest row may need of the cache, in tokens.
    """
    engine = config.engine
    if engine.deterministic == "none":
        return config
    rows = _BATCH_ROWS if engine.max_batch_rows == "auto" else engine.max_batch_rows
    fixed = {
        "threads": _THREADS if engine.threads == "auto" else engine.threads,
        "max_batch_rows": rows,
        "kv_cache_tokens": engine.kv_cache_tokens
        if engine.kv_cache_tokens != "auto"
        else min(max(_CACHE_TOKENS, longest), rows * longest),
    }
    return config.model_copy(update={"engine": engine.model_copy(update=fixed)})


def require_same_machine(engine: Engine) -> Steps[None]:
    """JobError if the job's first replica ran on another kind of machine."""
    ours = engine.machine
    if (yield Create(MACHINE, json.dumps(ours, indent=1).encode() + b"\n")):
        return
    theirs = json.loads((yield Read(MACHINE)))
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
