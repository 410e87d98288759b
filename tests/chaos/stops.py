"""The soak of stops: jobs that have a Ray of their own each, which is stopped or lost as a whole.

A run ends by what a machine does to it: all of its processes are killed at once, as with a control group or
a node; they are told to end, all or the driver alone; the terminal is closed; the raylet hangs for a while,
or for good. In between single processes are killed. All the same no shard may be blamed but where the oracle
knows a cause.
"""

import math
import signal
import time
from pathlib import Path
from tempfile import mkdtemp

from tests.chaos.inputs import ChaosJob, make_job
from tests.chaos.own_ray import OwnRay
from tests.chaos.processes import kill, victims
from tests.chaos.soak import ANY, Running, Soak

WEIGHTS = {
    "all at once": 24,
    "SIGTERM to all": 10,
    "SIGHUP to all": 10,
    "driver": 8,
    "SIGTERM to the driver": 8,
    "SIGHUP to the driver": 8,
    "raylet stopped": 4,
    "raylet paused": 4,
    "replica": 12,
    "rank": 8,
    "worker": 8,
}
TOLD = {"SIGTERM": signal.SIGTERM, "SIGHUP": signal.SIGHUP}
SECONDS_TO_HEED = 30.0
SECONDS_TO_HANDLERS = 5.0  # until a new process handles signals: before, they end it
PAUSES = (3.0, 45.0)  # seconds; a driver is patient for 30, then ends its run with exit code 1
EARLY = 0.15  # share of runs that are struck while they start


class StopSoak(Soak):
    """One job at a time in each place."""

    weights = WEIGHTS

    def open(self) -> None:
        self.module = "tests.chaos.own_driver"
        folder = Path(mkdtemp(prefix="own-"))  # paths of sockets may be 107 characters long
        self._places = [OwnRay(folder / str(number)) for number in range(self._options.jobs)]
        self._strikes: dict[int, float] = {}  # when a run is struck next, by the process id of its driver

    def close(self) -> None:
        for place in self._places:
            place.close()

    def room(self, running: list[Running]) -> OwnRay | None:
        taken = [one.place for one in running]
        return next((place for place in self._places if place not in taken), None)

    def make_job(self, folder: Path, seed: int) -> ChaosJob:
        # With 1, one death that is charged wrongly shows: the shard's rows run alone.
        max_attempts = self._dice.choice((1, 1, 2, 3))
        return make_job(folder, seed, self._options.rows, broken=0.02, max_attempts=max_attempts)

    def disturb(self, running: list[Running]) -> None:
        for one in running:
            if one.must_end_by == math.inf and time.monotonic() >= self._when(one):
                self._strikes[one.driver.pid] = self._soon() + self._stop(one)

    def _when(self, one: Running) -> float:
        """Some strike early; the others once there is a replica."""
        if one.driver.pid not in self._strikes:
            early = self._dice.random() < EARLY
            self._strikes[one.driver.pid] = one.since + self._dice.random() * 5 if early else math.inf
        if self._strikes[one.driver.pid] == math.inf and self._alive(one)["replica"]:
            self._strikes[one.driver.pid] = self._soon()
        return self._strikes[one.driver.pid]

    def _soon(self) -> float:
        return time.monotonic() + self._dice.expovariate(1 / self._options.pause)

    def _alive(self, one: Running) -> dict[str, list[int]]:
        return victims(one.place.fork_server.pid, [one.driver.pid], [])

    def _stop(self, one: Running) -> float:
        """One strike; returns the seconds for which the run is left alone after it."""
        [kind] = self._first[-1:] or self._choose(1)
        alone, alive, place = 0.0, self._alive(one), one.place
        word, _, whom = kind.partition(" to ")
        if kind == "all at once":
            done = place.signal_all(signal.SIGKILL, self._dice)
            one.codes = ANY
        elif kind == "raylet stopped":
            done = place.stop_raylet()
            time.sleep(self._dice.random() * 2)
            one.driver.tell(signal.SIGTERM)
            one.codes = {75}
        elif kind == "raylet paused":
            alone = self._dice.choice(PAUSES)
            done = place.pause_raylet(alone)
        elif word in TOLD:
            done = place.signal_all(TOLD[word], self._dice) if whom == "all" else one.driver.tell(TOLD[word])
            one.codes = {75, 1} if whom == "all" else {75}
            if time.monotonic() < one.since + SECONDS_TO_HANDLERS:
                one.codes = {*one.codes, -TOLD[word]}
        else:
            done = self._kill_one(one, kind, alive)
            if kind == "driver":
                one.codes = ANY
        if done:
            self.counted(kind)
            if kind in self._first:
                self._first.remove(kind)
        if one.codes:
            one.must_end_by = time.monotonic() + SECONDS_TO_HEED
        return alone

    def _kill_one(self, one: Running, kind: str, alive: dict[str, list[int]]) -> bool:
        if not alive[kind]:
            return False
        pid = self._dice.choice(alive[kind])
        if kind in ("replica", "rank"):  # there is one replica, and it dies with its rank
            name = one.job.process_of(alive["replica"][0]) if alive["replica"] else None
            one.felled |= {name} if name else set()
        return kill(pid)
