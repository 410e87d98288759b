"""The soak on a cluster: jobs one after the other, several at once, under a seeded schedule of kills.

Of whatever kind the next victim is to be, one that lives is taken. A job whose driver was killed is run by
the same command again; it must end by itself with exit code 0. `stops` is the soak of jobs with Rays of their
own.
"""

import json
import math
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.blame import wrongly_blamed
from tests.chaos.inputs import ROOT, ChaosJob, make_job
from tests.chaos.nodes import Driver, Nodes
from tests.chaos.oracle import judge
from tests.chaos.processes import kill, victims

WEIGHTS = {"replica": 26, "worker": 28, "rank": 26, "watchdog": 6, "driver": 8, "raylet": 2}
SECONDS_TO_APPEAR = 45.0
GPUS = 6  # of each node
# The ways in which a run of ours may fail: run it again.
MAY_FAIL = ("times while it loaded the model", "Ray could not start here", "gave no answer for")
RUNS_OF_ONE_JOB = 200  # more are no progress
SECONDS_OF_ONE_RUN = 300.0  # without a kill
SECONDS_BETWEEN_LOOKS = 0.1
ANY = range(-64, 256)


@dataclass(frozen=True)
class Options:
    kills: int
    seed: int
    jobs: int = 2  # at once
    rows: int = 800  # of each
    pause: float = 0.5  # mean seconds between strikes
    stock: bool = False  # plain Ray Data in our place: violations are counted and do not end the soak


@dataclass
class Tally:
    kills: Counter[str] = field(default_factory=Counter)
    jobs: int = 0
    runs: int = 0
    failed_runs: int = 0  # exit code 1: run it again
    rows: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    wrongly_blamed: int = 0  # shards and rows
    files: int = 0
    unreadable: int = 0
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def line(self) -> str:
        return (
            f"{self.kills.total():,} kills, {self.rows:,} rows: {self.lost} lost, {self.doubled} doubled, "
            f"{self.wrong} wrong, {self.wrongly_blamed} wrongly blamed"
        )


@dataclass
class Running:
    job: ChaosJob
    place: Any  # where its runs are started
    driver: Driver
    runs: int = 1
    codes: Collection[int] = ()  # with which the run may end, and then is run again
    must_end_by: float = math.inf
    since: float = field(default_factory=time.monotonic)
    felled: set[str] = field(default_factory=set)  # its replicas that were killed one by one, of all runs
    said_before: int = 0  # bytes in the log, of earlier runs

    def told(self, whats: tuple[str, ...]) -> bool:
        """Whether an error of its latest run says one of these."""
        said = self.job.log.read_bytes()[self.said_before :].decode(errors="replace")
        errors = [line for line in said.splitlines() if line.startswith("error: ")]
        return any(what in line for line in errors for what in whats)


class Soak:
    weights = WEIGHTS

    def __init__(self, folder: Path, options: Options) -> None:
        self._folder, self._options = folder, options
        self._dice = random.Random(options.seed)
        self._weights = {k: w for k, w in self.weights.items() if not (options.stock and k == "watchdog")}
        self.module = "tests.chaos.stock" if options.stock else "tests.chaos.driver"
        self._parts = "*.parquet" if options.stock else "generations/*.parquet"
        self._first = self._dice.sample(list(self._weights), len(self._weights))
        self._next_strike = time.monotonic()
        self._last_kill = 0.0
        self.tally = Tally()

    def run(self) -> Tally:
        began = time.monotonic()
        (self._folder / "jobs").mkdir(parents=True)
        self.open()
        reader = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.reader", self._folder / "jobs", f"*/out/{self._parts}"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            self._go_on()
        finally:
            seen = json.loads(reader.communicate()[0])
            self.close()
        tally = self.tally
        tally.files, tally.unreadable = seen["files"], len(seen["bad"])
        tally.violations += [f"{path}: {what}" for path, what in seen["bad"].items()]
        tally.seconds = time.monotonic() - began
        return tally

    def open(self) -> None:
        self._nodes = Nodes(self._folder / "cluster", [GPUS, GPUS])
        self._choose_next()

    def close(self) -> None:
        self._nodes.close()

    def room(self, running: list[Running]) -> Any:
        """A place for one more job; None if there is no room."""
        return self._nodes if len(running) < self._options.jobs else None

    def _go_on(self) -> None:
        running: list[Running] = []
        while self._options.stock or not self.tally.violations:
            calm = self.tally.kills.total() >= self._options.kills
            while not calm and (place := self.room(running)) is not None:
                running.append(self._start(place))
            if calm and not running:
                return
            for one in list(running):
                if self._ended(one):
                    running.remove(one)
            if not calm:
                self.disturb(running)
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def _start(self, place: Any) -> Running:
        self.tally.jobs += 1
        folder = self._folder / f"jobs/{self.tally.jobs:04d}"
        job = self.make_job(folder, self._options.seed * 100_003 + self.tally.jobs)
        return Running(job, place, self._drive(place, job))

    def make_job(self, folder: Path, seed: int) -> ChaosJob:
        return make_job(folder, seed, self._options.rows, broken=0 if self._options.stock else 0.02)

    def _drive(self, place: Any, job: ChaosJob) -> Driver:
        self.tally.runs += 1
        driver: Driver = place.start_driver(self.module, job.config, job.log)
        return driver

    def _ended(self, one: Running) -> bool:
        """Judge a job that is done; run one again that was stopped or failed."""
        code = one.driver.poll()
        if code is None:
            now = time.monotonic()
            if now > one.must_end_by or now - max(one.since, self._last_kill) > SECONDS_OF_ONE_RUN:
                self.tally.violations.append(f"{one.job.folder}: a run does not end")
            return False
        if code == 0:
            self.judge(one)
            return True
        if code not in one.codes:
            if code == 1 and (self._options.stock or one.told(MAY_FAIL)):
                self.tally.failed_runs += 1
            else:
                self.tally.violations.append(f"{one.job.folder}: exit code {code}")
        one.runs += 1
        if one.runs > RUNS_OF_ONE_JOB:
            self.tally.violations.append(f"{one.job.folder}: no end after {RUNS_OF_ONE_JOB} runs")
        one.said_before = one.job.log.stat().st_size
        one.driver, one.codes, one.must_end_by = self._drive(one.place, one.job), (), math.inf
        one.since = time.monotonic()
        return False

    def judge(self, one: Running) -> None:
        job, tally = one.job, self.tally
        verdict = judge(job.folder / "in", job.output.glob(self._parts))
        tally.rows += verdict.rows
        tally.lost += verdict.lost
        tally.doubled += verdict.doubled
        tally.wrong += verdict.wrong
        tally.violations += [f"{job.folder}: {example}" for example in verdict.examples[:5]]
        if not self._options.stock:
            blamed = wrongly_blamed(job.output, one.felled, job.max_attempts)
            tally.wrongly_blamed += len(blamed)
            tally.violations += [f"{job.folder}: {what}" for what in blamed]
            if not (job.output / "_SUCCESS").exists():
                tally.violations.append(f"{job.folder}: exit code 0 without _SUCCESS")
        print(tally.line(), file=sys.stderr, flush=True)

    def disturb(self, running: list[Running]) -> None:
        if time.monotonic() >= self._next_strike and self._strike(running):
            self._next_strike = time.monotonic() + self._dice.expovariate(1 / self._options.pause)

    def _strike(self, running: list[Running]) -> bool:
        """One kill, or several in quick succession; False while none of the kind that is next lives."""
        nodes = self._nodes
        alive = victims(nodes.fork_server.pid, (one.driver.pid for one in running), nodes.raylets())
        if not alive[self._next] and time.monotonic() < self._next_before:
            return False
        for kind in [self._next, *self._choose(self._dice.choice((0, 0, 1, 1, 2, 3)))]:
            pid = self._dice.choice(alive[kind]) if alive[kind] else 0
            if pid and kill(pid):
                self.counted(kind)
                for one in running:
                    if one.driver.pid == pid:
                        one.codes = ANY
                if kind == "raylet":
                    nodes.replace(pid, GPUS)
        self._choose_next()
        return True

    def counted(self, kind: str) -> None:
        self.tally.kills[kind] += 1
        self._last_kill = time.monotonic()

    def _choose_next(self) -> None:
        """Every kind once at first, then by weight."""
        patience = SECONDS_TO_APPEAR if not self._first else math.inf
        [self._next] = [self._first.pop()] if self._first else self._choose(1)
        self._next_before = time.monotonic() + patience

    def _choose(self, count: int) -> list[str]:
        return self._dice.choices(list(self._weights), list(self._weights.values()), k=count)
