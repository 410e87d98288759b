"""What Ray does for a run: gives shards to replicas, their rows to publishers, and replaces what died."""

import random
from collections import defaultdict

from pipeline.durable import try_shard as trying
from pipeline.durable.commit import Published
from pipeline.durable.try_shard import TRIES_TOGETHER
from pipeline.shards.shard import Shard
from tests.simulation.actors import Actor, Process, Rows, Run, Trial, begin, commit_shard, end
from tests.simulation.blame_ledger import WHOLE, BlameLedger
from tests.simulation.invariant import require, rows_of
from tests.simulation.small_jobs import CRASHED, Job
from tests.simulation.turnstile import enter, leave

IN_FLIGHT = 2  # shards of a replica
MOST_REPLICAS = 2  # of a run


class Cluster:
    """If it is `deterministic`, a part must depend on its shard and the quarantined rows alone.

    Then the two rows of a `pair` in one shard may kill their process whenever they run together.
    """

    def __init__(
        self, dice: random.Random, max_attempts: int, poison: set[int], deterministic: bool, pair: set[int]
    ) -> None:
        self.dice = dice
        self.chance = dice.random
        self.max_attempts = max_attempts
        self.poison = poison
        self.deterministic = deterministic
        self.pair = pair
        self.actors: list[Actor] = []
        self.asleep: list[Actor] = []
        self.runs: list[Run] = []
        self.runs_alive = 0
        self.hasty = 0.0  # chance that a driver ends its run before its shards
        self.runs_left = 0  # that the user will still start
        self.extending = 0.0  # chance that a run extends its job
        self.later_files = 0  # that have come so far
        self.ledger = BlameLedger()
        self.now = self.crashes = self._names = 0
        self.poison_deaths: dict[str, int] = defaultdict(int)  # by shard
        self.pair_deaths = self.given_up = self.whole_losses = 0
        self.pair_given_up = False
        self.parts: dict[tuple[str, frozenset[int]], bytes] = {}  # by shard and rows quarantined
        self.trace: list[str] | None = None

    def note(self, who: str, what: str) -> None:
        if self.trace is not None:
            self.trace.append(f"{self.now:5} {who:14} {what}")

    def name(self, kind: str) -> str:
        self._names += 1
        return f"{kind}-{self._names}"

    def spawn(self, kind: str, run: Run) -> Process:
        return Process(kind, self.name(kind), run)

    # -- a run's way

    def arrived(self, job: Job) -> set[str]:
        """The later files that are there; one more may have come since somebody looked."""
        if self.later_files < len(job.later) and self.chance() < 0.3:
            self.later_files += 1
        return set(list(job.later)[: self.later_files])

    def start_run(self, job: Job) -> None:
        self.runs_left -= 1
        extends = self.extending > 0 and self.chance() < self.extending
        run = Run(self.name("run"), job, job.plans[int(self.chance() * 2)], extends)
        self.runs.append(run)
        self.runs_alive += 1
        driver = self.spawn("driver", run)
        self.note(run.name, f"starts with {driver.name}{', to extend the job' if extends else ''}")

        def started(missing: list[Shard]) -> None:
            assert run.plan is not None
            forgotten = run.found - {shard.name for shard in run.plan.shards}
            require(not forgotten, f"{forgotten} are in no plan after a run that extends")
            run.waiting = list(missing)
            run.uncommitted = {shard.id for shard in missing}
            if not missing or self.chance() < self.hasty:  # by mistake: it must be refused
                self.finalize(run)
                return
            for _ in range(min(1 + int(self.chance() * MOST_REPLICAS), len(missing))):
                self.start_replica(run)

        self.actors.append(Actor(driver, begin(run, lambda: self.arrived(job)), started))

    def end_run(self, run: Run) -> None:
        run.alive = False
        self.runs_alive -= 1

    def start_replica(self, run: Run) -> None:
        self.fill(self.spawn("replica", run))

    def fill(self, replica: Process) -> None:
        run = replica.run
        while run is not None and run.waiting and len(replica.shards) < IN_FLIGHT:
            shard = run.waiting.pop(int(self.chance() * len(run.waiting)))
            replica.shards.append(shard)
            trial = Trial(replica, shard, self.now, self.max_attempts)
            try_shard = trying.try_shard_deterministic if self.deterministic else trying.try_shard
            steps = try_shard(shard, replica.name, self.max_attempts, run=run.name)

            def tried(bad: set[int], trial: Trial = trial) -> None:
                leave(replica, trial)
                if bad:
                    self.ledger.quarantines(trial.shard, self.excused(trial))
                rows = trial.ran | dict.fromkeys(bad, CRASHED)
                replica.shards.remove(trial.shard)
                if replica.run is not None:
                    self.publish(replica.run, trial.shard, rows)
                self.fill(replica)

            actor = Actor(replica, steps, tried)
            actor.trial = trial
            self.actors.append(actor)

    def publish(self, run: Run, shard: Shard, rows: Rows) -> None:
        publisher = self.spawn("publisher", run)
        publisher.shards, publisher.rows = [shard], rows

        def published(part: Published) -> None:
            if publisher.run is None:
                return
            run.published[part.path] = part.sha256
            run.uncommitted.discard(shard.id)
            if not run.uncommitted:
                self.finalize(run)

        def seen(part: bytes) -> None:
            if self.deterministic:
                bad = frozenset(row for row, said in rows.items() if said == CRASHED)
                first = self.parts.setdefault((shard.id, bad), part)
                require(part == first, f"two attempts at {shard.id} give {part!r} and {first!r}")

        self.actors.append(Actor(publisher, commit_shard(shard, rows, seen), published))

    def finalize(self, run: Run) -> None:
        def finished(success: object) -> None:
            self.end_run(run)

        self.actors.append(Actor(self.spawn("driver", run), end(run), finished))

    def refused(self, actor: Actor, error: Exception, holder: Job | None) -> None:
        """A run ended with an error, which only one of another job deserves, or one that ended too early."""
        run = actor.process.run if actor.process is not None else None
        deserved = run is not None and (run.job is not holder or run.uncommitted)
        require(deserved, f"a run is refused: {error}")
        assert run is not None
        self.end_run(run)

    def gives_up(self, trial: Trial, run: Run | None) -> None:
        """A try ended its run, since the whole shard seems to kill; the user does what the message says."""
        claimed = self.ledger.deaths_at_most(trial, WHOLE)
        enough = trial.max_attempts + TRIES_TOGETHER
        deserved = claimed >= enough or trial.max_attempts < self.max_attempts
        require(deserved, f"{trial.shard.id} is given up after {claimed} deaths")
        self.given_up += 1
        shard = trial.shard
        if self.pair and self.pair <= rows_of([shard]):
            self.pair_given_up = True
        else:
            self.max_attempts += 1
        if run is not None and run.alive:
            self.kill_run(run)

    # -- deaths

    def excused(self, trial: Trial) -> list[int]:
        """The rows that a try may quarantine, settled once it has read the attempts."""
        if trial.excused is None:
            trial.excused = self.ledger.excused(trial)
        return trial.excused

    def may_enter(self, replica: Process, trial: Trial, alone: bool) -> bool:
        self.excused(trial)
        return enter(replica, trial, alone)

    def neighbours_are_innocent(self, replica: Process) -> None:
        """A row killed this replica, which is no cause to blame a row that another shard stands at."""
        for actor in self.actors + self.asleep:
            claim = actor.trial.claim if actor.process is replica and actor.trial is not None else None
            if claim is not None and claim.row != WHOLE:
                claim.ended = self.now

    def kill(self, process: Process) -> None:
        """End a process; its run, if it still knows it, puts another in its place."""
        process.alive = False
        self._sweep()
        run = process.run
        if run is None or not run.alive:
            return
        if process.kind == "driver":
            self.kill_run(run)
        else:
            self.give_up(process)

    def give_up(self, process: Process) -> None:
        """A run believes a replica or a publisher dead: another takes its place."""
        run, process.run = process.run, None
        assert run is not None
        if process.kind == "publisher" and self.chance() < 0.5:  # else its rows are lost too
            self.publish(run, process.shards[0], process.rows)
            return
        for shard in process.shards:
            self.ledger.outlived(process, shard, run.name)
        run.waiting += process.shards
        self.start_replica(run)

    def kill_run(self, run: Run) -> None:
        self.note(run.name, "is killed with all its processes")
        self.end_run(run)
        victims = {a.process for a in self.actors + self.asleep if a.process is not None}
        for process in victims:
            if process.run is run:
                process.alive = False
                self.crashes += 1
        self._sweep()
        if self.runs_left > 0:
            self.start_run(run.job)

    def everything_dies(self, again: bool = False) -> None:
        """All processes of all runs at once, as when their machine goes.

        `again`: users start them anew, however often they did before.
        """
        self.whole_losses += 1
        self.note("machine", "is lost with all that runs on it")
        for actor in self.actors + self.asleep:
            if actor.process is not None:
                actor.process.alive = False
                self.crashes += 1
        self._sweep()
        lost = [run for run in self.runs if run.alive]
        for run in lost:
            self.end_run(run)
        for run in lost:
            if again or self.runs_left > 0:
                self.runs_left += again
                self.start_run(run.job)

    def _sweep(self) -> None:
        self.actors = [a for a in self.actors if a.process is None or a.process.alive]
        self.asleep = [a for a in self.asleep if a.process is None or a.process.alive]
