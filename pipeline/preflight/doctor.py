"""Checks what a job needs before it is run, by the run's own checks; each check yields findings."""

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from packaging.requirements import Requirement

from model.machine.budget import GIB, in_gib
from pipeline.cluster.devices import ray_nodes
from pipeline.cluster.exposed_dashboard import WHAT_TO_DO, exposed_dashboard
from pipeline.cluster.private_session import parent_folder, token_others_can_read
from pipeline.cluster.session import LOOK_FURTHER, connect, require_listening
from pipeline.config.job import JobConfig
from pipeline.durable.job_start import begun
from pipeline.durable.operations import execute
from pipeline.errors import JobError, describe_without_message, job_error
from pipeline.preflight.checked_input import check_input
from pipeline.preflight.checkpoint_facts import checkpoint_facts
from pipeline.preflight.job import check_job
from pipeline.preflight.job_plan import joined, require_rows_or_allowed, shards_to_do
from pipeline.preflight.replica_checks import Level, computing, replicas
from pipeline.reading.files import expand
from pipeline.storage.credentials import redact
from pipeline.storage.local_store import LocalStore
from pipeline.storage.open_store import open_store
from pipeline.text.rendering_apart import rendering_apart

_LEAST_FREE = 2 * GIB
_RAY_STOPS_AT = 0.95  # share of a disk in use, above which Ray makes no more objects on it


@dataclass(frozen=True)
class Finding:
    what: str
    level: Level
    text: str


def examine(config: JobConfig) -> Iterator[Finding]:
    """Yield the findings of one check after the other. Writes a probe to the output folder, and no rows."""
    checks: list[tuple[str, Callable[[], Iterator[tuple[Level, str]]]]] = [
        ("versions", _versions),
        ("checkpoint", partial(_checkpoint, config)),
        ("input", partial(_input, config)),
        ("output", partial(_output, config)),
        ("disk", partial(_disk, config)),
        ("cluster", _cluster),
        ("replicas", partial(replicas, config)),
        ("computing", partial(computing, config)),
    ]
    for what, check in checks:
        try:
            for level, text in check():
                yield Finding(what, level, text)
        except OSError as error:
            yield Finding(what, "problem", redact(str(job_error(error))))
        except JobError as error:
            yield Finding(what, "problem", redact(str(error)))
        except Exception as error:  # a check that raises becomes a finding, and the others still run
            yield Finding(what, "problem", describe_without_message(error))


def _versions() -> Iterator[tuple[Level, str]]:
    found = f"Python {platform.python_version()}"
    try:
        wanted = importlib.metadata.requires("mixtray") or []
    except importlib.metadata.PackageNotFoundError:
        yield (
            "warning",
            f"{found}; mixtray is not installed here, so versions cannot be compared: pip install .",
        )
        return
    for requirement in map(Requirement, wanted):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            yield "problem", f"{requirement} is not installed: pip install -c constraints.txt ."
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            yield "problem", f"{requirement.name} is {version}, needed is {requirement.specifier}"
        if requirement.name in ("ray", "torch"):
            found += f", {requirement.name} {version}"
    yield "ok", found


def _checkpoint(config: JobConfig) -> Iterator[tuple[Level, str]]:
    job = check_job(config)
    model = job.model
    experts = f"{model.num_experts} experts" if model.num_experts else "dense"
    yield "ok", f"{redact(config.model.path)}: {model.num_layers} layers, {experts}, fits the job"
    for name, fact in [*checkpoint_facts(job), *job.requests.facts()]:
        yield "ok", f"{name}: {fact}"


def _input(config: JobConfig) -> Iterator[tuple[Level, str]]:
    with rendering_apart():  # the checkpoint's check may have ended before it tried the template
        checked = check_input(config)
    files = checked.found.files
    size = sum(file.size for file in files)
    in_all = f"{size:,} bytes" if size < 1 << 20 else in_gib(size)
    if checked.has_rows:
        yield "ok", f"{len(files):,} files of {in_all}, with all columns that the job names"
    else:
        what = f"{len(files):,} files of {in_all}, none with a row" if files else "no file"
        yield "ok", f"{what}, which input.allow_empty allows: a run would be done at once"
    if checked.found.not_taken:
        yield "warning", f"not taken: {checked.found.not_taken}"


def _output(config: JobConfig) -> Iterator[tuple[Level, str]]:
    store = open_store(config.output.path)
    store.probe()
    job = check_job(config)
    state = "no job began here yet"
    if stored := execute(begun(job.spec), store):
        to_do, _ = shards_to_do(job, store, require_rows_or_allowed(job, joined(stored)))
        state = f"this job began here and will go on, with {len(to_do):,} shards to do"
    yield "ok", f"{store.url()}: can be written, never creates a file twice; {state}"


def _disk(config: JobConfig) -> Iterator[tuple[Level, str]]:
    store = open_store(config.output.path)
    if isinstance(store, LocalStore):
        size = sum(file.size for file in expand(config.input).files)
        yield _free("output", store.root, max(_LEAST_FREE, 2 * size))
    yield _free("Ray's temporary files", parent_folder(), _LEAST_FREE)


def _free(what: str, folder: str, needed: int) -> tuple[Level, str]:
    existing = Path(folder)
    while not existing.exists():
        existing = existing.parent
    usage = shutil.disk_usage(existing)
    text = f"{usage.free / GIB:.1f} GiB free for {what} ({folder})"
    if usage.used > _RAY_STOPS_AT * usage.total:
        return "problem", f"{text}: the disk is more than {_RAY_STOPS_AT:.0%} full; make room"
    if usage.free < needed:
        return "warning", f"{text}, {needed / GIB:.1f} GiB would be safe; make room"
    return "ok", text


def _cluster() -> Iterator[tuple[Level, str]]:
    address = os.environ.get("RAY_ADDRESS")
    if path := token_others_can_read():
        yield "problem", f"{path}: others can read this token, and run code with it: chmod 600 {path}"
    try:
        require_listening()
        connect()
    except Exception as error:  # Ray raises many types where it finds no cluster
        kind = type(error).__name__
        no_cluster = f"cannot join {address} ({kind}); check RAY_ADDRESS, the token and `ray status`"
        yield "problem", no_cluster if address else str(error).removesuffix(LOOK_FURTHER)
        return
    nodes = sum(node["Alive"] for node in ray_nodes())
    yield "ok", f"{nodes} nodes" if address else "no RAY_ADDRESS: a local Ray, of this machine"
    if exposed := exposed_dashboard():
        yield "problem", f"whoever reaches the dashboard at {exposed} can run code here: {WHAT_TO_DO}"
    else:
        yield "ok", "no dashboard answers beyond loopback without a token"
    if address and os.environ.get("RAY_AUTH_MODE") != "token":
        yield (
            "warning",
            "no RAY_AUTH_MODE=token: whoever reaches any of Ray's ports can run code; close them off",
        )
