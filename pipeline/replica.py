"""A replica of the model as a Ray actor: shards of prompts in, shards of finished rows out.

Several shards are in flight at once. One thread runs the engine for all of them, so that the batch stays
full across their borders; a shard's call only waits for its own rows.
"""

import asyncio
import logging
import os
import queue
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pyarrow as pa

from model.engine import Engine
from model.request import Completion, Request
from pipeline.config import JobConfig
from pipeline.errors import RowErrorCode
from pipeline.reading.datasource import SHARD_COLUMN
from pipeline.reporting.routing_tables import sum_by_group, to_parquet
from pipeline.results import Results
from pipeline.tasks import Outcome, make_task
from pipeline.text.tokenization import Tokenizer

logger = logging.getLogger(__name__)
ROUTER_COLUMN = "_router"


@dataclass(frozen=True)
class ReplicaOptions:
    config: JobConfig
    checkpoint: str  # local folder
    tokenizer: Tokenizer | None
    chat: bool
    threads: int | None


class Replica:
    def __init__(self, options: ReplicaOptions) -> None:
        config = options.config
        self._config = config
        self._engine = Engine.load(
            options.checkpoint,
            config.model.dtype,
            tensor_parallel=config.model.tensor_parallel,
            threads=options.threads,
            max_batch_rows=_number(config.engine.max_batch_rows),
            kv_cache_tokens=_number(config.engine.kv_cache_tokens),
            statistics=config.router.statistics,
        )
        self._routed = bool(self._engine.config.num_experts) and config.router.statistics
        self._task = make_task(config, options.tokenizer, options.chat)
        self._results = Results(config, self._engine.config)
        self._runner = EngineThread(self._engine)

    async def __call__(self, prepared: pa.Table) -> AsyncIterator[pa.Table]:
        """One shard of `Preparation`'s rows -> its rows of generations.

        Two columns come along for publishing: the shard, and in the first row its router sums.
        """
        columns = ("file", "row", "prompt_token_ids", "params", "error_code", "error_message")
        rows = prepared.select(columns).to_pylist()
        outcomes = await asyncio.gather(*(self._run_row(**row) for row in rows))
        table = self._results.table(prepared, outcomes)
        groups = prepared["group"].to_pylist()
        routed = [(g, o.routing) for g, o in zip(groups, outcomes, strict=True) if o.routing is not None]
        sums = to_parquet(sum_by_group(routed)) if self._routed else None
        table = table.append_column(SHARD_COLUMN, prepared[SHARD_COLUMN])
        router = pa.array([sums] + [None] * (len(table) - 1), pa.large_binary())
        yield table.append_column(ROUTER_COLUMN, router)

    async def _run_row(
        self,
        file: str,
        row: int,
        prompt_token_ids: list[int] | None,
        params: str | None,
        error_code: str | None,
        error_message: str | None,
    ) -> Outcome:
        if prompt_token_ids is None:
            return Outcome(error_code, error_message)
        request, finish = self._task.start(f"{file}#{row}", prompt_token_ids, params)
        try:
            completion = await self._runner.run(request)
        except ValueError as error:  # the cache turned out smaller than the context
            return Outcome(RowErrorCode.PROMPT_TOO_LONG.value, str(error))
        if completion.nan_logits:
            return Outcome(
                RowErrorCode.NAN_LOGITS.value,
                "the model gave NaN: check the checkpoint, or set model.dtype: float32",
            )
        return finish(completion)


class EngineThread:
    """Runs the engine for as long as the process lives; requests come from any event loop."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._inbox: queue.SimpleQueue[tuple[Request, asyncio.Future[Completion]]] = queue.SimpleQueue()
        self._waiting: dict[str, asyncio.Future[Completion]] = {}
        threading.Thread(target=self._serve, name="engine", daemon=True).start()

    def run(self, request: Request) -> "asyncio.Future[Completion]":
        future = asyncio.get_running_loop().create_future()
        self._inbox.put((request, future))
        return future

    def _serve(self) -> None:
        try:
            while True:
                self._take_in()
                for completion in self._engine.step():
                    _resolve(self._waiting.pop(completion.key), completion)
        except BaseException:
            # A broken engine must not serve another row, and Ray retries only what died.
            logger.exception("the engine failed; this replica ends its process")
            logging.shutdown()
            os._exit(1)

    def _take_in(self) -> None:
        """Submit what has come; wait for something if there is nothing to run."""
        while self._engine.idle or not self._inbox.empty():
            request, future = self._inbox.get()
            try:
                self._engine.submit(request)
            except ValueError as error:
                _resolve(future, error)
            else:
                self._waiting[request.key] = future


def _resolve(future: "asyncio.Future[Completion]", result: Completion | Exception) -> None:
    def settle() -> None:
        if future.cancelled():
            return
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)

    future.get_loop().call_soon_threadsafe(settle)


def _number(value: int | str) -> int | None:
    return value if isinstance(value, int) else None
