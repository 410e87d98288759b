"""A watch on the Ray of this machine: its raylet and the cluster's GCS are asked again and again.

Ray itself waits for either without end, and so would the job: no shard is read any more, no lost replica is
started anew.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, Self

import ray
from ray._private.worker import global_worker
from ray._raylet import RayletClient  # type: ignore[attr-defined]

from pipeline.cluster.ray_calls import ask
from pipeline.errors import JobError

_LEAST_SECONDS, _MOST_SECONDS = 30.0, 300.0
_TIMES = 3  # in a row that one of them gives no answer, each a third of the deadline


class RayWatch:
    """Use as a context, once Ray is there, in which `check` is called now and then.

    Questions are counted, not seconds: this process may itself have been stopped for a while.
    """

    def __init__(self, deadline: float) -> None:
        """`deadline`: seconds for which neither may be silent, within limits: both may have much to do."""
        self._deadline = min(max(deadline, _LEAST_SECONDS), _MOST_SECONDS)
        self._silent = {"raylet": 0, "GCS": 0}
        self._node_lost = False
        self._done = threading.Event()

    def __enter__(self) -> Self:
        self._node = str(ray.get_runtime_context().get_node_id())
        self._gcs: Any = global_worker.gcs_client
        self._raylet = ask(self._find_raylet, what="which nodes there are")
        threading.Thread(target=self._watch, name="watching Ray", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()

    def check(self) -> None:
        """JobError if one of them was silent for the deadline, or if this machine is no node any more."""
        if self._node_lost:
            raise JobError(
                "Ray gave up this machine, on which the command runs, as a node of its cluster; what is "
                "committed stays: run the same command again"
            )
        for name, times in self._silent.items():
            if times >= _TIMES:
                raise JobError(
                    f"Ray's {name} gave no answer for {self._deadline:g} s, so it seems to stand still; what "
                    "is committed stays: see to the cluster (`ray status`), and run the same command again"
                )

    def _find_raylet(self) -> Any:
        [here] = (node for node in ray.nodes() if node["NodeID"] == self._node)
        return RayletClient(here["NodeManagerAddress"], here["NodeManagerPort"])

    def _watch(self) -> None:
        seconds = self._deadline / _TIMES
        while not self._done.is_set():
            next_time = time.monotonic() + seconds
            asyncio.run(self._ask_both(seconds))
            self._done.wait(max(0.0, next_time - time.monotonic()))

    async def _ask_both(self, seconds: float) -> None:
        nodes = [ray.NodeID.from_hex(self._node)]
        await asyncio.gather(
            self._ask("raylet", lambda: self._raylet.async_get_worker_pids(int(seconds * 1000)), seconds),
            self._ask("GCS", lambda: self._gcs.async_check_alive(nodes, timeout=seconds), seconds),
        )

    async def _ask(self, name: str, question: Callable[[], Awaitable[Any]], seconds: float) -> None:
        try:
            answer = await asyncio.wait_for(question(), seconds)
        except Exception:  # Ray raises errors of many types, and all say that there was no answer
            self._silent[name] += 1
            return
        self._silent[name] = 0
        if name == "GCS" and not all(answer):
            self._node_lost = True
