"""The blocks that a dataset's last stage puts out, taken by a thread.

The thread may wait in Ray for hours. The one that uses the blocks waits in Python, where it hears signals,
and looks now and then whether Ray stands still.
"""

import threading
from collections.abc import Generator
from queue import Empty, SimpleQueue
from typing import Any

from ray.data import Dataset
from ray.data._internal.execution.execution_callback import ExecutionCallback
from ray.data.exceptions import ExecutionTimeoutError

from pipeline.cluster.ray_watch import RayWatch

_SECONDS_BETWEEN_LOOKS = 0.5
_consumer = threading.local()  # its `unwanted` is an event: nobody wants the blocks any more


class _Unwanted(ExecutionTimeoutError):  # type: ignore[misc]
    """Ends the execution of a dataset whose blocks nobody wants any more.

    Ray Data prints any other error that comes before the first block, with a traceback.
    """


class EndsWhenUnwanted(ExecutionCallback):  # type: ignore[misc]
    """Ray Data calls it in each step of its loop; without it nothing but an error in a stage ends that."""

    def __init__(self) -> None:
        self._unwanted: threading.Event = getattr(_consumer, "unwanted", threading.Event())

    def on_execution_step(self, executor: Any) -> None:
        if self._unwanted.is_set():
            raise _Unwanted


def blocks_of(dataset: Dataset, watch: RayWatch, seconds_to_leave: float) -> Generator[Any]:
    """Each block, as a pyarrow table, as soon as it is there; raises what the execution raises.

    JobError if Ray stands still. If it is closed early, the execution is ended, for which it waits at most
    `seconds_to_leave`.
    """
    unwanted = threading.Event()
    taken: SimpleQueue[Any] = SimpleQueue()

    def take() -> None:
        _consumer.unwanted = unwanted
        try:
            # iter_rows would give a block only once the next one is there
            for block in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                taken.put(block)
            taken.put(None)
        except BaseException as error:
            taken.put(error)

    thread = threading.Thread(target=take, name="taking blocks", daemon=True)
    thread.start()
    try:
        while True:
            watch.check()
            try:
                block = taken.get(timeout=_SECONDS_BETWEEN_LOOKS)
            except Empty:
                continue
            if block is None:
                return
            if isinstance(block, BaseException):
                raise block
            yield block
    finally:
        unwanted.set()
        thread.join(seconds_to_leave)
