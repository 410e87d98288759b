"""One thread that loads and runs the engine for all shards of a replica; requests come from any event loop.

The same thread loads the engine, since OpenMP keeps a team of CPU threads for each thread that ever computed.
If the teams have more threads than there are cores, waiting threads sleep at once instead of spinning: a
decode step took half as long again when another thread had loaded the engine.
"""

import asyncio
import logging
import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future

from torch import AcceleratorError
from torch.distributed import DistError

from model.engine import Engine
from model.execution.rank_watch import RankError
from model.requests.request import Completion, Request, sharers_together
from pipeline.cluster import cpu_priority
from pipeline.errors import describe_without_message
from pipeline.storage.credentials import redact
from pipeline.supervision.watchdog import Watchdog

logger = logging.getLogger(__name__)
_IDLE_SECONDS = 1.0
_OF_THE_MACHINE = (AcceleratorError, DistError, RankError)  # their messages quote no row


class EngineThread:
    """Others may read `engine`; only this thread calls `step`."""

    def __init__(self, load: Callable[[], Engine], watchdog: Watchdog) -> None:
        """Returns once the engine is loaded; passes on what `load` raises."""
        self._watchdog = watchdog
        self._inbox: queue.SimpleQueue[list[tuple[Request, asyncio.Future[Completion]]]] = queue.SimpleQueue()
        self._waiting: dict[str, asyncio.Future[Completion]] = {}
        loaded: Future[Engine] = Future()
        threading.Thread(target=self._live, args=(load, loaded), name="engine", daemon=True).start()
        self.engine = loaded.result()

    def run(self, requests: list[Request]) -> "list[asyncio.Future[Completion]]":
        """The requests' completions; a request that the engine is too small for gets a ValueError.

        All are submitted between the same two steps, so that the batches of a shard that runs alone do not
        depend on timing.
        """
        loop = asyncio.get_running_loop()
        submitted = [(request, loop.create_future()) for request in requests]
        self._inbox.put(submitted)
        return [future for _, future in submitted]

    def _live(self, load: Callable[[], Engine], loaded: "Future[Engine]") -> None:
        try:
            cpu_priority.normal()
            engine = load()
        except BaseException as error:
            loaded.set_exception(error)
            return
        loaded.set_result(engine)
        self._serve(engine)

    def _serve(self, engine: Engine) -> None:
        try:
            while True:
                self._take_in(engine)
                for completion in engine.step():
                    _resolve(self._waiting.pop(completion.key), completion)
                self._watchdog.progressed()
        except BaseException as error:
            # A failed engine must serve no other row, and Ray retries only the calls of a process that died.
            words = f"{redact(str(error))}; " if isinstance(error, _OF_THE_MACHINE) else ""
            logger.critical(
                "the engine failed, this replica ends: %s%s", words, describe_without_message(error)
            )
            logging.shutdown()
            os._exit(1)

    def _take_in(self, engine: Engine) -> None:
        """Submit the requests in the inbox; if the engine is idle, wait for some, a second at most."""
        while engine.idle or not self._inbox.empty():
            try:
                submitted = self._inbox.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                return
            futures = {request.key: future for request, future in submitted}
            for request in sharers_together(request for request, _ in submitted):
                try:
                    engine.submit(request)
                except ValueError as error:
                    _resolve(futures[request.key], error)
                else:
                    self._waiting[request.key] = futures[request.key]


def _resolve(future: "asyncio.Future[Completion]", result: Completion | Exception) -> None:
    def settle() -> None:
        if future.cancelled():
            return
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)

    future.get_loop().call_soon_threadsafe(settle)
