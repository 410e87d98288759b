"""A Ray cluster on one machine: a head that stays, and worker nodes that are killed; and its fork server."""

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray.cluster_utils import Cluster
from ray.experimental import internal_kv

from tests.forkserver.fork_server import LAUNCHER, ForkServer
from tests.forkserver.launcher import ask

# GPUs are claimed, not used: so every node counts how many replicas it can hold, as on real machines.
SIZE: dict[str, Any] = {"num_cpus": 4, "object_store_memory": 100 << 20}
LEAN = {"include_dashboard": False, "include_log_monitor": False}
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Only what the jobs need is started: every process costs seconds of the machine.
    "RAY_prestart_worker_first_driver": "0",
    "RAY_enable_worker_prestart": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_worker_niceness": "0",  # else workers wait for whatever else the machine does
}


class Nodes:
    def __init__(self, folder: Path, gpus: list[int]) -> None:
        """Nodes with so many GPUs each, the head first."""
        folder.mkdir(parents=True)
        self._environment = dict(os.environ)
        self.fork_server = ForkServer(folder / "fork_server", {})
        # In a folder of its own, or others' ray.init() would find this cluster and join it.
        os.environ.update(ENVIRONMENT | {"RAY_TMPDIR": str(folder)} | self.fork_server.environment)
        self._own_ray = internal_kv.global_gcs_client  # whose place a new head takes
        self._cluster = Cluster(shutdown_at_exit=False)
        self.head = self._start(gpus[0])
        self._workers = [self._start(count) for count in gpus[1:]]
        self._thread = ThreadPoolExecutor(1)

    def _start(self, gpus: int) -> Any:
        while True:
            try:
                return self._cluster.add_node(**SIZE, **LEAN, num_gpus=gpus, setup_worker_path=LAUNCHER)
            except Exception as error:  # Ray's own: on a busy machine a node may start too slowly for it
                print(f"a node did not start and is tried again: {error}", file=sys.stderr)

    def raylets(self) -> list[int]:
        """Of worker nodes; the head's stays."""
        return [node.all_processes["raylet"][0].process.pid for node in self._workers]

    def remove(self, raylet: int) -> None:
        """End what is left of a worker node, its raylet first."""
        [dead] = [n for n in self._workers if n.all_processes["raylet"][0].process.pid == raylet]
        self._workers.remove(dead)
        self._cluster.remove_node(dead, allow_graceful=False)

    def add(self, gpus: int) -> None:
        self._workers.append(self._start(gpus))

    def replace(self, raylet: int, gpus: int) -> None:
        """In the background: take away the node whose raylet was killed, and add one anew."""

        def change() -> None:
            self.remove(raylet)
            self.add(gpus)

        self._thread.submit(change).add_done_callback(lambda done: done.result())

    def start_driver(self, module: str, config: Path, log: Path) -> "Driver":
        """The same command every time, as a user would run it again."""
        return Driver([module, str(config)], {**os.environ, "RAY_ADDRESS": self._cluster.address}, log)

    def close(self) -> None:
        self._thread.shutdown()
        self._cluster.shutdown()
        internal_kv.global_gcs_client = self._own_ray
        self.fork_server.close()
        os.environ.clear()
        os.environ.update(self._environment)


class Driver:
    """One run of a job in a process of its own."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        with open(log, "ab") as output:
            outputs = output.fileno(), output.fileno()
            connection = ask(["-m", *command], environment, outputs, wait=True)
        self._answers = connection.makefile("rb")
        self.pid = int(self._answers.readline())
        self._connection = connection
        self._connection.setblocking(False)

    def tell(self, number: signal.Signals) -> bool:
        """Send a signal; False if it has ended."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)
            return True
        return False

    def poll(self) -> int | None:
        """The exit code (negative: the signal that killed it); None while it runs."""
        try:
            line = self._answers.readline()
        except BlockingIOError:
            return None
        return int(line) if line else None
