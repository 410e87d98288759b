"""A replica's engine: loaded, tried with a row of its own, and given the prefix of the job's prompts."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model.engine import Engine
from model.sampling.sampling_params import SamplingParams
from pipeline.checkpoints.fingerprint import checkpoint_fingerprint
from pipeline.checkpoints.location import locate
from pipeline.config.job import JobConfig
from pipeline.durable.operations import execute
from pipeline.durable.same_machine import require_same_machine
from pipeline.errors import ConfigError, JobError
from pipeline.storage.store import Store
from pipeline.storage.urls import redact
from pipeline.supervision.watchdog import Watchdog
from pipeline.task import RowRequests, Task
from pipeline.text.prompt_format import PromptFormat


@dataclass(frozen=True)
class ReplicaOptions:
    config: JobConfig
    task: Task[Any]
    checkpoint: str  # an absolute path, or a URL: each machine fetches it into its own cache
    prompt_format: PromptFormat | None
    threads: int
    prefix: list[int]  # that most prompts begin with
    store: Store
    spec: Mapping[str, Any]
    coordinator: Any  # the handle of a `pipeline.supervision.coordinator.Coordinator`


def load_engine(options: ReplicaOptions) -> Engine:
    """The checkpoint on this machine, fetched if it is not here yet.

    ConfigError for what this machine can't do, or if the checkpoint is not the one that the job began with.
    """
    config = options.config
    located = locate(options.checkpoint)
    folder = located.whole()
    if checkpoint_fingerprint(folder) != options.spec["checkpoint"]:
        raise ConfigError(
            f"model.path: {located.path}: it is another checkpoint than the job began with: it was "
            f"changed, or {socket.gethostname()} sees another folder under this path"
        )
    try:
        return Engine.load(
            folder,
            config.model.dtype,
            tensor_parallel=config.model.tensor_parallel,
            threads=options.threads,
            max_batch_rows=_number(config.engine.max_batch_rows),
            kv_cache_tokens=_number(config.engine.kv_cache_tokens),
            quantization=config.model.quantization,
            attention=config.model.attention,
            statistics=config.router.statistics,
            end_ids=options.prompt_format.end_ids if options.prompt_format else (),
        )
    except ValueError as error:
        raise ConfigError(located.named(f"model: {redact(str(error))}")) from None


def _number(value: int | str) -> int | None:
    return value if isinstance(value, int) else None


def make_ready(engine: Engine, requests: RowRequests, options: ReplicaOptions, watchdog: Watchdog) -> None:
    """Try the engine and give it the shared prefix, before the first shard.

    JobError if the cache that memory allows is smaller than the longest row may need.
    """
    engine.generate([[0]], SamplingParams(max_new_tokens=2, ignore_eos=True))
    watchdog.progressed()
    needed = requests.cache_tokens(engine.config.max_positions)
    if engine.cache_tokens < needed:
        raise JobError(
            f"memory is left for {engine.cache_tokens} tokens of the cache, the longest row may need "
            f"{needed}: use larger machines, fewer replicas on each, or more tensor_parallel"
        )
    engine.share_prefix(options.prefix)
    if options.config.engine.deterministic == "shard":
        execute(require_same_machine(engine.machine), options.store)
