"""A place for one run at a time, which starts a Ray of its own as a user's does; and all of its processes."""

import os
import random
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

from tests.chaos.nodes import ENVIRONMENT, Driver
from tests.chaos.processes import Process, processes
from tests.chaos.standing_still import stand_still
from tests.forkserver.fork_server import ForkServer
from tests.ray_head import token

SECONDS_TO_DIE = 20.0


class OwnRay:
    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self.fork_server = ForkServer(folder / "fork_server", token())
        self._driver: Driver | None = None

    def start_driver(self, module: str, config: Path, log: Path) -> Driver:
        """The same command every time; what an earlier run left is ended first."""
        self.end_all()
        environment = {**os.environ, **ENVIRONMENT, **self.fork_server.environment}
        environment |= {"RAY_TMPDIR": str(self._folder / "r"), "RAY_ADDRESS": "local"}
        self._driver = Driver([module, str(config)], environment, log)
        return self._driver

    def processes(self) -> list[Process]:
        """The driver, what it started, and what the fork server forked for its Ray."""
        assert self._driver is not None
        everybody = {process.pid: process for process in processes()}
        driver = everybody.get(self._driver.pid)
        spared = {self.fork_server.pid, driver.parent if driver else 0}  # the latter tells the exit code

        def belongs(process: Process | None) -> bool:
            seen = 0
            while process is not None and process.pid not in spared and seen < 50:
                if process.pid == self._driver.pid or str(self._folder / "r") in process.command:
                    return True
                if process.parent == self.fork_server.pid:
                    return not _waits(process, self.fork_server.pid, everybody)
                process, seen = everybody.get(process.parent), seen + 1
            return False

        return [process for process in everybody.values() if belongs(process)]

    def stop_raylet(self) -> bool:
        """SIGSTOP: to others it looks alive, and answers nothing."""
        return any(_send(pid, signal.SIGSTOP) for pid in self._raylets())

    def pause_raylet(self, seconds: float) -> bool:
        return any(stand_still(pid, seconds) for pid in self._raylets())

    def _raylets(self) -> list[int]:
        return [process.pid for process in self.processes() if "/raylet/raylet " in process.command]

    def signal_all(self, number: signal.Signals, dice: random.Random) -> int:
        """One signal to all at once, in any order; to how many."""
        pids = [process.pid for process in self.processes()]
        dice.shuffle(pids)
        return sum(_send(pid, number) for pid in pids)

    def end_all(self) -> None:
        """Until nothing of the run is left, not even stopped processes, or files of its Ray."""
        deadline = time.monotonic() + SECONDS_TO_DIE
        while self._driver is not None and (left := self.processes()):
            assert time.monotonic() < deadline, f"{left} do not die"
            for process in left:
                _send(process.pid, signal.SIGKILL)
            time.sleep(0.02)
        shutil.rmtree(self._folder / "r", ignore_errors=True)

    def close(self) -> None:
        self.end_all()
        self.fork_server.close()


def _waits(process: Process, fork_server: int, everybody: dict[int, Process]) -> bool:
    """Whether it is the fork server's child that waits for a driver: it never became a worker."""
    return process.command == everybody[fork_server].command


def _send(pid: int, number: signal.Signals) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False
