"""The soak: jobs one after the other, several at once, under a seeded schedule of kills.

Of whatever kind the next victim is to be, one that lives is taken. A job whose driver was killed is run by
the same command again; it must end by itself with exit code 0.
"""

import json
import math
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.inputs import ROOT, ChaosJob, make_job
from tests.chaos.nodes import Driver, Nodes
from tests.chaos.oracle import judge
from tests.chaos.processes import kill, victims

WEIGHTS = {"replica": 26, "worker": 28, "rank": 26, "watchdog": 6, "driver": 8, "raylet": 2}
SECONDS_TO_APPEAR = 45.0
GPUS = 6  # of each node
KILLED_WHILE_LOADING = "times while it loaded the model"  # the one way a run of ours may fail: run it again
RUNS_OF_ONE_JOB = 200  # more are no progress
SECONDS_OF_ONE_RUN = 300.0  # without a kill
SECONDS_BETWEEN_LOOKS = 0.1


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
    files: int = 0
    unreadable: int = 0
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)


@dataclass
class Running:
    job: ChaosJob
    driver: Driver
    runs: int = 1
    killed: bool = False
    since: float = field(default_factory=time.monotonic)

    said_before: int = 0  # bytes in the log, of earlier runs

    def told(self, what: str) -> bool:
        """Whether an error of its latest run says so."""
        said = self.job.log.read_bytes()[self.said_before :].decode(errors="replace")
        return any(line.startswith("error: ") and what in line for line in said.splitlines())


class Soak:
    def __init__(self, folder: Path, options: Options) -> None:
        self._folder, self._options = folder, options
        self._dice = random.Random(options.seed)
        self._weights = {k: w for k, w in WEIGHTS.items() if not (options.stock and k == "watchdog")}
        self._parts = "*.parquet" if options.stock else "generations/*.parquet"
        self._first = self._dice.sample(list(self._weights), len(self._weights))
        self._choose_next()
        self._last_kill = 0.0
        self.tally = Tally()

    def run(self) -> Tally:
        began = time.monotonic()
        nodes = Nodes(self._folder / "cluster", [GPUS, GPUS])
        (self._folder / "jobs").mkdir()
        reader = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.reader", self._folder / "jobs", f"*/out/{self._parts}"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            self._go_on(nodes)
        finally:
            seen = json.loads(reader.communicate()[0])
            nodes.close()
        tally = self.tally
        tally.files, tally.unreadable = seen["files"], len(seen["bad"])
        tally.violations += [f"{path}: {what}" for path, what in seen["bad"].items()]
        tally.seconds = time.monotonic() - began
        return tally

    def _go_on(self, nodes: Nodes) -> None:
        running: list[Running] = []
        next_strike = time.monotonic()
        while self._options.stock or not self.tally.violations:
            calm = self.tally.kills.total() >= self._options.kills
            while len(running) < self._options.jobs and not calm:
                running.append(self._start(nodes))
            if calm and not running:
                return
            for one in list(running):
                if self._ended(nodes, one):
                    running.remove(one)
            if not calm and time.monotonic() >= next_strike and self._strike(nodes, running):
                next_strike = time.monotonic() + self._dice.expovariate(1 / self._options.pause)
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def _start(self, nodes: Nodes) -> Running:
        self.tally.jobs += 1
        folder = self._folder / f"jobs/{self.tally.jobs:04d}"
        seed = self._options.seed * 100_003 + self.tally.jobs
        job = make_job(folder, seed, self._options.rows, broken=0 if self._options.stock else 0.02)
        return Running(job, self._drive(nodes, job))

    def _drive(self, nodes: Nodes, job: ChaosJob) -> Driver:
        self.tally.runs += 1
        module = "tests.chaos.stock" if self._options.stock else "tests.chaos.driver"
        return nodes.start_driver(module, job.config, job.log)

    def _ended(self, nodes: Nodes, one: Running) -> bool:
        """Judge a job that is done; run one again whose driver was killed or failed."""
        code = one.driver.poll()
        if code is None:
            if time.monotonic() - max(one.since, self._last_kill) > SECONDS_OF_ONE_RUN:
                self.tally.violations.append(f"{one.job.folder}: a run does not end")
            return False
        if code == 0:
            self._judge(one.job)
            return True
        if not one.killed and code == 1 and (self._options.stock or one.told(KILLED_WHILE_LOADING)):
            self.tally.failed_runs += 1
        elif not one.killed:
            self.tally.violations.append(f"{one.job.folder}: exit code {code}")
        one.runs += 1
        if one.runs > RUNS_OF_ONE_JOB:
            self.tally.violations.append(f"{one.job.folder}: no end after {RUNS_OF_ONE_JOB} runs")
        one.said_before = one.job.log.stat().st_size
        one.driver, one.killed, one.since = self._drive(nodes, one.job), False, time.monotonic()
        return False

    def _judge(self, job: ChaosJob) -> None:
        verdict = judge(job.folder / "in", job.output.glob(self._parts))
        tally = self.tally
        tally.rows += verdict.rows
        tally.lost += verdict.lost
        tally.doubled += verdict.doubled
        tally.wrong += verdict.wrong
        tally.violations += [f"{job.folder}: {example}" for example in verdict.examples[:5]]
        print(f"{tally.kills.total():,} kills, {tally.rows:,} rows", file=sys.stderr, flush=True)
        if not self._options.stock and not (job.output / "_SUCCESS").exists():
            tally.violations.append(f"{job.folder}: exit code 0 without _SUCCESS")

    def _strike(self, nodes: Nodes, running: list[Running]) -> bool:
        """One kill, or several in quick succession; False while none of the kind that is next lives."""
        alive = victims(nodes.fork_server.pid, (one.driver.pid for one in running), nodes.raylets())
        if not alive[self._next] and time.monotonic() < self._next_before:
            return False
        for kind in [self._next, *self._choose(self._dice.choice((0, 0, 1, 1, 2, 3)))]:
            pid = self._dice.choice(alive[kind]) if alive[kind] else 0
            if pid and kill(pid):
                self.tally.kills[kind] += 1
                self._last_kill = time.monotonic()
                for one in running:
                    one.killed |= one.driver.pid == pid
                if kind == "raylet":
                    nodes.replace(pid, GPUS)
        self._choose_next()
        return True

    def _choose_next(self) -> None:
        """Every kind once at first, then by weight."""
        patience = SECONDS_TO_APPEAR if not self._first else math.inf
        [self._next] = [self._first.pop()] if self._first else self._choose(1)
        self._next_before = time.monotonic() + patience

    def _choose(self, count: int) -> list[str]:
        return self._dice.choices(list(self._weights), list(self._weights.values()), k=count)
