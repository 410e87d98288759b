"""A replica's engine: loaded, and tried with a row of its own."""

import logging
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.engine import Engine
from model.machine.device import has_native_bfloat16
from model.requests.pooled_states import PooledStates
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams
from model.trained_head import HeadKind
from pipeline.checkpoints.fingerprint import checkpoint_fingerprint
from pipeline.checkpoints.location import locate
from pipeline.config.job import JobConfig
from pipeline.durable.operations import execute
from pipeline.durable.same_machine import require_same_machine
from pipeline.errors import ConfigError
from pipeline.storage.credentials import redact
from pipeline.storage.store import Store
from pipeline.supervision.watchdog import Watchdog
from pipeline.task import Task
from pipeline.text.prompt_format import PromptFormat

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReplicaOptions:
    config: JobConfig
    task: Task[Any]
    checkpoint: str  # an absolute path, or a URL: each machine fetches it into its own cache
    prompt_format: PromptFormat | None
    threads: int
    store: Store
    spec: Mapping[str, Any]
    run: str  # a name that no other run of the job has
    coordinator: Any  # the handle of a `pipeline.supervision.coordinator.Coordinator`
    on_gpus: bool = False  # Ray gave this replica a GPU for each of its ranks
    least_cache_tokens: int = 1  # that the longest row may need
    hidden_layers: Sequence[int] = ()  # whose hidden states are written, of a sample of rows


def load_engine(options: ReplicaOptions) -> Engine:
    """The checkpoint on this machine, fetched if it is not here yet, or streamed.

    ConfigError for what this machine can't do, or if the checkpoint is not the one that the job began with.
    """
    config = options.config
    located = locate(options.checkpoint)
    streamed = located.streamed() if config.model.fetch == "stream" else None
    folder = located.folder if streamed else located.whole()
    adapter = config.model.adapter
    if adapter and not Path(adapter).is_dir():
        raise ConfigError(f"model.adapter: {adapter}: {socket.gethostname()} sees no such folder")
    if checkpoint_fingerprint(folder, adapter, streamed) != options.spec["checkpoint"]:
        named = f" with the adapter {adapter}" if adapter else ""
        raise ConfigError(
            f"model.path: {located.path}: it is another checkpoint{named} than the job began with: it was "
            f"changed, or {socket.gethostname()} sees another folder under this path"
        )
    if not options.on_gpus and config.model.dtype == "bfloat16" and not has_native_bfloat16():
        logger.warning(
            "%s: the job computes in bfloat16, which this processor only emulates, several times slower than "
            "one that has it",
            socket.gethostname(),
        )
    try:
        engine = Engine.load(
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
            device="gpu" if options.on_gpus else "cpu",
            least_cache_tokens=options.least_cache_tokens,
            adapter=adapter,
            weights=streamed,
            hidden_layers=options.hidden_layers,
        )
    except ValueError as error:
        given = f"Ray gave this replica GPUs of {socket.gethostname()}; " if options.on_gpus else ""
        raise ConfigError(located.named(f"model: {given}{redact(str(error))}")) from None
    if streamed:
        streamed.require_unchanged()
    return engine


def _number(value: int | str) -> int | None:
    return value if isinstance(value, int) else None


def make_ready(engine: Engine, options: ReplicaOptions, watchdog: Watchdog) -> None:
    """Try the engine before the first shard."""
    if engine.config.trained.kind is HeadKind.LANGUAGE:
        engine.generate([[0]], SamplingParams(max_new_tokens=2, ignore_eos=True))
    else:
        engine.run([Request("try", [0], readout=PooledStates())])
    watchdog.progressed()
    if options.config.engine.deterministic == "shard":
        execute(require_same_machine(engine.machine), options.store)
