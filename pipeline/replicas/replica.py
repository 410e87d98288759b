"""A replica of the model as a Ray actor: shards of prompts in, shards of finished rows out.

Several shards are in flight at once. One thread runs the engine for all of them, so that the batch stays
full across their borders; a shard's call only waits for its own rows.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa
import ray

from model.engine import Engine
from model.requests.request import Completion, Request
from pipeline.durable.commit import part_path
from pipeline.durable.job_start import require_begun
from pipeline.durable.operations import execute
from pipeline.durable.try_shard import try_shard, try_shard_deterministic
from pipeline.errors import RowError, RowErrorCode, describe_without_message, hide_row_text
from pipeline.replicas.engine_thread import EngineThread
from pipeline.replicas.first_answers import ask_first
from pipeline.replicas.hidden_states import HiddenStatesSample
from pipeline.replicas.load_engine import ReplicaOptions, load_engine, make_ready
from pipeline.replicas.shard_runner import ShardRunner
from pipeline.replicas.shard_states import ShardStates
from pipeline.router.sums import sum_by_group
from pipeline.router.tables import to_parquet
from pipeline.row_requests import Finish, Outcome
from pipeline.rows.result_rows import ResultRows
from pipeline.shards.carried_shard import CarriedShard
from pipeline.shards.shard import Shard
from pipeline.supervision.start_limit import starting
from pipeline.supervision.watchdog import Watchdog

logger = logging.getLogger(__name__)

_ROW_COLUMNS = ("file", "row", "id", "prompt_token_ids", "params", "error_code", "error_message")


class Replica:
    def __init__(self, options: ReplicaOptions) -> None:
        # Ray Data sees a constructor's error only while it waits for the actor: the first shard raises it.
        self._failure: Exception | None = None
        try:
            self._start(options)
        except Exception as failure:
            logger.error("the replica can't start: %s", describe_without_message(failure))
            # The frames of the traceback, and those of the error's context, would keep the engine alive.
            self._failure = failure.with_traceback(None)
            self._failure.__context__ = None

    def _start(self, options: ReplicaOptions) -> None:
        config = options.config
        execute(require_begun(options.spec), options.store)
        self._id = str(ray.get_runtime_context().get_actor_id())
        with starting(options.coordinator, self._id):
            watchdog = Watchdog(config.engine.progress_deadline_s)
            self._requests = options.task.requests(options.prompt_format)
            try:
                self._engine = EngineThread(partial(self._make_engine, options, watchdog), watchdog)
            except Exception:
                watchdog.stop()  # this process makes no progress, but must live to report its failure
                raise
        model = self._engine.engine.config
        self._routed = bool(model.num_experts) and config.router.statistics
        self._results = ResultRows(config, options.task, model)
        way = try_shard_deterministic if config.engine.deterministic == "shard" else try_shard
        tries = partial(way, run=options.run, max_crashed_rows=config.errors.max_crashed_rows)
        self._shards = ShardRunner(options.store, tries, config.errors.max_attempts, self._run_rows)
        self._coordinator = options.coordinator
        self._sample = HiddenStatesSample.of_job(
            config, options.hidden_layers, model.dim, options.spec, options.store
        )
        self._store, self._one_group_at_a_time = options.store, asyncio.Lock()
        self._closed: asyncio.Future[None] | None = None
        self._never = asyncio.Event()

    def _make_engine(self, options: ReplicaOptions, watchdog: Watchdog) -> Engine:
        with watchdog.beating():
            engine = self.load_engine(options)
        watchdog.also_kill(engine.ranks.process_ids[1:])
        make_ready(engine, options, watchdog)
        ask_first(engine, self._requests, options.store)
        watchdog.progressed()
        return engine

    def load_engine(self, options: ReplicaOptions) -> Engine:
        """Replicas of tests and benchmarks override this."""
        return load_engine(options)

    async def __call__(self, table: pa.Table) -> AsyncIterator[pa.Table]:
        """A shard with its prepared rows, packed -> with rows of generations and router sums."""
        if self._failure is not None:
            raise self._failure
        prepared = CarriedShard.unpacked(table)
        with hide_row_text(prepared.shard.id):
            finished = await self._run_shard(prepared)
            yield finished.packed()

    async def _run_shard(self, prepared: CarriedShard) -> CarriedShard:
        outcomes = await self._run_or_give_up(prepared.shard, prepared.rows)
        groups = prepared.rows["group"].to_pylist()
        routed = [(g, o.routing) for g, o in zip(groups, outcomes, strict=True) if o.routing is not None]
        return replace(
            prepared,
            rows=self._results.table(prepared.rows, outcomes),
            router_table=to_parquet(sum_by_group(routed)) if self._routed else None,
            path=json.dumps(self._engine.engine.path, sort_keys=True),
        )

    async def _run_or_give_up(self, shard: Shard, prepared: pa.Table) -> list[Outcome]:
        """It never returns once the coordinator is closed: the driver ends the job."""
        part, process = part_path(shard), self._shards.process
        if await self._coordinator.begin.remote(part, process, self._id):
            rows = prepared.select(_ROW_COLUMNS).to_pylist()
            running = asyncio.create_task(self._run_whole(shard, rows))
            if self._closed is None:
                self._closed = asyncio.ensure_future(self._coordinator.closed.remote())
            await asyncio.wait({running, self._closed}, return_when=asyncio.FIRST_COMPLETED)
            if running.done() and await self._coordinator.commit.remote(part, process):
                return running.result()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)  # the next run meets the error again
            await self._shards.give_up(shard)
            await self._coordinator.give_up.remote(part, process)
        await self._never.wait()
        raise AssertionError("nobody sets this event")

    async def _run_whole(self, shard: Shard, rows: Sequence[dict[str, Any]]) -> list[Outcome]:
        """The rows' outcomes, once the hidden states of those in the sample are written too."""
        if self._sample is None:
            return await self._shards.run(shard, rows)
        run, one_at_a_time = self._engine.run, self._one_group_at_a_time
        states = ShardStates(self._sample, shard, rows, run, self._store, one_at_a_time)
        outcomes = await self._shards.run(shard, rows, states.compute)
        await states.write_rest()
        return outcomes

    async def _run_rows(self, rows: Sequence[dict[str, Any]]) -> list[Outcome]:
        outcomes: dict[int, Outcome] = {}
        started: list[tuple[int, Request, Finish]] = []
        for i, row in enumerate(rows):
            if row["prompt_token_ids"] is None:
                outcomes[i] = Outcome(row["error_code"], row["error_message"])
                continue
            key = f"{row['file']}#{row['row']}"
            try:
                request, finish = self._requests.start(key, row["prompt_token_ids"], row["params"])
                started.append((i, replace(request, stream=row["id"]), finish))
            except RowError as error:
                outcomes[i] = Outcome(error.code.value, error.message)
        completions = await asyncio.gather(*self._engine.run([request for _, request, _ in started]))
        for (i, _, finish), completion in zip(started, completions, strict=True):
            outcomes[i] = _outcome(completion, finish)
        return [outcomes[i] for i in range(len(rows))]


def _outcome(completion: Completion, finish: Finish) -> Outcome:
    if completion.failure == "nan_logits":
        return Outcome(
            RowErrorCode.NAN_LOGITS.value,
            "the model gave NaN: check the checkpoint, or set model.dtype: float32",
        )
    if completion.failure == "out_of_memory":
        return Outcome(
            RowErrorCode.OUT_OF_MEMORY.value,
            "the device's memory did not suffice for this row alone: lower engine.kv_cache_tokens or "
            "engine.max_batch_rows, or raise model.tensor_parallel",
        )
    try:
        return finish(completion)
    except RowError as error:
        return Outcome(error.code.value, error.message)
