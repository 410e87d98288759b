"""The Ray session: join a cluster or start a local one, and turn Ray's errors into the job's."""

import logging
import os
import re
import signal
import socket
import warnings
from itertools import dropwhile
from typing import Any

import ray
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayError, RayTaskError, WorkerCrashedError
from ray.util.annotations import RayDeprecationWarning

from pipeline.cluster import cpu_priority, port_wait
from pipeline.cluster.private_session import give_token, parent_folder, session_folder
from pipeline.cluster.ray_calls import NoAnswer, ask
from pipeline.cluster.resources import RAY_TASK_OPTIONS
from pipeline.errors import ConfigError, DamagedFile, JobError
from pipeline.storage.credentials import redact

LOOK_FURTHER = "; `python -m jobs doctor` looks further"
_SECONDS_TO_JOIN = 180.0  # Ray's own limits, which add up, are below
_OF_THE_JOB = [f"{kind.__module__}.{kind.__name__}" for kind in (ConfigError, DamagedFile)]
_OS_ERRORS = (
    "OSError",
    "PermissionError",
    "FileNotFoundError",
    "TimeoutError",
    "ConnectionError",
    "MemoryError",
)
_REFUSED = ("PermissionError", "NotADirectoryError", "IsADirectoryError")  # no second run would mend them
_FULL = ("OutOfDiskError", "ObjectStoreFullError")
_NEXT_LINK = re.compile(
    r"\n\n(?:The above exception was the direct cause of the following exception"
    r"|During handling of the above exception, another exception occurred):\n\n"
)
_WRAPPER = "ray.exceptions.UserCodeException"
_ADVICE = "\nFailed to apply UDF transform"  # Ray appends it to the message


def connect() -> None:
    """Join the cluster of `ray job submit` or RAY_ADDRESS, else start a local one; Ray logs errors only.

    JobError if there is none and none can be started.
    """
    if not ray.is_initialized():
        os.environ.setdefault("RAY_task_oom_retries", str(RAY_TASK_OPTIONS["max_retries"]))
        local = os.environ.get("RAY_ADDRESS", "local") == "local"
        # Without an address Ray would join whatever cluster a file in /tmp names, which any user may write.
        # Ray says that its handler of SIGTERM is not set: not in this thread, and we set ours.
        logging.getLogger("ray._private.worker").setLevel(logging.ERROR)
        try:
            ask(lambda: _join(local), _SECONDS_TO_JOIN, what="it was to start", keep_thread=True)
        except NoAnswer:
            raise
        except Exception as error:  # Ray raises bare Exceptions too
            what = "start here" if local else "reach its cluster (RAY_ADDRESS)"
            raise JobError(
                f"Ray could not {what}: {redact(str(error)).strip().splitlines()[0]}{LOOK_FURTHER}"
            ) from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    # max_task_retries can be given in no other way until Ray 2.64, below which we are pinned.
    warnings.filterwarnings("ignore", category=RayDeprecationWarning)


def _join(local: bool) -> None:
    own: dict[str, Any] = {}
    if local:
        # A closed terminal sends SIGHUP to all that it started. Only the driver hears it, and stops in order.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        give_token()
        own = {"include_dashboard": False, "_temp_dir": session_folder()}
    with cpu_priority.lowered(), port_wait.interruptible():
        ray.init("local" if local else None, logging_level=logging.ERROR, **own)


def require_listening() -> None:
    """OSError if nothing listens at RAY_ADDRESS, where it names a port: Ray would wait long for it."""
    address = os.environ.get("RAY_ADDRESS", "")
    if ":" in address and "://" not in address:
        host, _, port = address.rpartition(":")
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()


def look_at_cluster() -> None:
    """Join the cluster of RAY_ADDRESS to see what it has; JobError, and soon, if it is not there."""
    if not ray.is_initialized():
        try:
            require_listening()
        except OSError as error:
            raise JobError(f"Ray could not reach its cluster (RAY_ADDRESS): {error}{LOOK_FURTHER}") from error
    connect()


def as_job_error(error: RayError) -> JobError:
    """What failed, for the user. Of an exception whose message may quote a row, only the type is told."""
    kind = message = ""
    if isinstance(error, RayTaskError):
        kind, _, message = redact(_raised_in_task(str(error))).partition(": ")
    if kind in _OF_THE_JOB:
        return ConfigError(message)
    name = kind.rpartition(".")[2] or type(error).__name__
    tellable = kind == f"{JobError.__module__}.{JobError.__name__}" or kind in _OS_ERRORS
    if isinstance(error, (WorkerCrashedError, OutOfMemoryError, NodeDiedError)):
        what = "a process that reads or publishes shards was killed again and again, too little memory?"
    elif name in _FULL:
        what = (
            f"{name}: no space left in Ray's object store, in /dev/shm, and where it spills to, below "
            f"{parent_folder()} if the job started Ray; RAY_TMPDIR names another folder"
        )
    elif tellable:
        what = f"{name}: {message}"
    else:
        what = f"{kind or name}, see Ray's logs"
    told = ConfigError if name in _REFUSED else JobError
    return told(
        f"the job failed ({what}); what is committed stays: mend the cause and run the same command again"
    )


def _raised_in_task(text: str) -> str:
    """What a Ray task raised, as `kind: message`, parsed from Ray's text: the exception itself may be lost.

    Of each exception in a chain Ray prints a line that names the process, indented frames, and the exception.
    """
    *causes, last = _NEXT_LINK.split(text.partition(_ADVICE)[0])
    if causes and f"\n{_WRAPPER}: " in last:
        last = causes[-1]
    lines = last.split("\n")[1:]
    return "\n".join(dropwhile(lambda line: line.startswith(" "), lines)).strip()
