"""The Ray session: join the cluster there is or start one here, and how many replicas it can hold."""

import logging
import os
import re
import warnings
from dataclasses import dataclass
from itertools import dropwhile
from typing import Any

import ray
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayError, RayTaskError, WorkerCrashedError
from ray.util.annotations import RayDeprecationWarning

from pipeline.config import JobConfig
from pipeline.errors import ConfigError, JobError
from pipeline.precedence import giving_way
from pipeline.storage.urls import redact

# A task fits on one of Ray's cores beside replicas: else two jobs, or the replicas of one, might hold all
# cores while they wait for one to read with. Its process may be killed `max_retries` times; a machine that
# goes counts too. What Ray's memory monitor kills is counted apart, and without end unless told otherwise.
TASK_OPTIONS: dict[str, Any] = {"num_cpus": 0.9, "max_retries": 8}
REPLICA_CPUS = 0.01
# They must differ from TASK_OPTIONS, or Ray Data would make one task of naming shards and reading them. All
# blocks may wait to be taken: a task that had to wait with them would live for hours.
NAMING_OPTIONS: dict[str, Any] = {
    "num_cpus": 0.01,
    "max_retries": 8,
    "_generator_backpressure_num_objects": -1,
}

_OS_ERRORS = (
    "OSError",
    "PermissionError",
    "FileNotFoundError",
    "TimeoutError",
    "ConnectionError",
    "MemoryError",
)
_NEXT_LINK = re.compile(
    r"\n\n(?:The above exception was the direct cause of the following exception"
    r"|During handling of the above exception, another exception occurred):\n\n"
)
_WRAPPER = "ray.exceptions.UserCodeException"
_ADVICE = "\nFailed to apply UDF transform"  # Ray puts it behind the message


@dataclass(frozen=True)
class Resources:
    """How a job shares the cluster out."""

    replicas: int
    num_gpus: int  # of each replica
    threads: int  # CPU threads of each rank
    tasks: int  # that read, and that publish, at once: the start of each one's process is not free


def connect() -> None:
    """Join the cluster of `ray job submit` or RAY_ADDRESS, else start a local one; quiet either way.

    JobError if there is none and none can be started.
    """
    if not ray.is_initialized():
        os.environ.setdefault("RAY_task_oom_retries", str(TASK_OPTIONS["max_retries"]))
        local = os.environ.get("RAY_ADDRESS", "local") == "local"
        # Without an address Ray would join whatever cluster a file in /tmp names, which any user may write.
        try:
            with giving_way():
                ray.init(
                    "local" if local else None,
                    logging_level=logging.ERROR,
                    include_dashboard=False if local else None,
                )
        except Exception as error:  # Ray raises bare ones too
            what = "start here" if local else "reach its cluster (RAY_ADDRESS)"
            raise JobError(
                f"Ray could not {what}: {redact(str(error)).strip().splitlines()[0]}; "
                "`python -m jobs doctor` looks further"
            ) from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    # max_task_retries can be given in no other way until Ray 2.64, below which we are pinned.
    warnings.filterwarnings("ignore", category=RayDeprecationWarning)


def plan_resources(config: JobConfig) -> Resources:
    """Share the cluster out among the replicas.

    On GPUs a replica takes `tensor_parallel` of one node. On CPUs replicas compute with all cores, though
    they ask Ray for next to none of them.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    ranks = config.model.tensor_parallel
    gpus = [int(node.get("GPU", 0)) for node in nodes]
    cpus = sum(node.get("CPU", 0) for node in nodes)
    tasks = max(1, int(cpus) // 2)
    if any(gpus):
        if config.model.quantization == "int8":
            raise ConfigError("model.quantization: int8 is for CPUs, this cluster has GPUs; set it to none")
        room = sum(count // ranks for count in gpus)
        if room == 0:
            raise ConfigError(
                f"model.tensor_parallel: no node has {ranks} GPUs (they have {sorted(set(gpus))}); lower it"
            )
        replicas = config.engine.replicas if isinstance(config.engine.replicas, int) else room
        if replicas > room:
            raise ConfigError(f"engine.replicas: the cluster has room for {room}, got {replicas}; lower it")
        return Resources(replicas, num_gpus=ranks, threads=1, tasks=tasks)
    if config.model.attention == "flash":
        raise ConfigError("model.attention: flash is for GPUs, this cluster has none; set it to auto")
    replicas = config.engine.replicas if isinstance(config.engine.replicas, int) else len(nodes)
    threads = max(1, int(cpus) // (replicas * ranks))
    if isinstance(config.engine.threads, int):
        threads = config.engine.threads
    return Resources(replicas, num_gpus=0, threads=threads, tasks=tasks)


def as_job_error(error: RayError) -> JobError:
    """What failed, for the user; exceptions that may quote a row are named only."""
    kind = message = ""
    if isinstance(error, RayTaskError):
        kind, _, message = redact(_raised_in_task(str(error))).partition(": ")
    if kind == f"{ConfigError.__module__}.{ConfigError.__name__}":
        return ConfigError(message)
    tellable = kind == f"{JobError.__module__}.{JobError.__name__}" or kind in _OS_ERRORS
    if isinstance(error, (WorkerCrashedError, OutOfMemoryError, NodeDiedError)):
        what = "a process that reads or publishes shards was killed again and again, too little memory?"
    elif tellable:
        what = f"{kind.rpartition('.')[2]}: {message}"
    else:
        what = f"{kind or type(error).__name__}, see Ray's logs"
    return JobError(
        f"the job failed ({what}); what is committed stays: mend the cause and run the same command again"
    )


def _raised_in_task(text: str) -> str:
    """What a task raised, as `kind: message`, from what Ray prints of it: it may keep no object of that.

    Of each link of a chain of exceptions it prints who ran it, indented frames, and the exception.
    """
    *causes, last = _NEXT_LINK.split(text.partition(_ADVICE)[0])
    if causes and f"\n{_WRAPPER}: " in last:
        last = causes[-1]
    lines = last.split("\n")[1:]
    return "\n".join(dropwhile(lambda line: line.startswith(" "), lines)).strip()
