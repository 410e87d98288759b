"""One schedule: a seed decides who acts next, who dies, whose answer is lost and what arrives late.

A step is one operation on the store, or the running of one piece of a shard. Disturbances end after a while,
the user starts killed runs again, and when all have ended one last run goes undisturbed.
"""

import random

from pipeline.durable.attempts import FORGIVEN
from pipeline.durable.operations import Create, List
from pipeline.durable.try_shard import TRIES_TOGETHER, Enter, Run
from pipeline.errors import JobError
from tests.simulation.actors import Actor, Process, Trial
from tests.simulation.blame_ledger import FOLDER as ATTEMPTS
from tests.simulation.blame_ledger import WHOLE, Claim
from tests.simulation.cluster import Cluster
from tests.simulation.disturbances import disturb, shown
from tests.simulation.hostile_store import HostileStore, Operation
from tests.simulation.invariant import Reader, ViolationError, most_deaths, require, rows_of
from tests.simulation.small_jobs import JOBS
from tests.simulation.tally import Tally

HAZARDS = (0.0, 0.02, 0.05, 0.1, 0.2)  # chance of a disturbance at a step
MOST_STEPS = 10_000  # of a schedule: far more than any needs


class Schedule:
    def __init__(self, seed: int, trace: list[str] | None = None) -> None:
        dice = random.Random(seed)
        self.chance = dice.random
        self.job = JOBS[int(self.chance() * len(JOBS))]
        self.whole_losses = 0.5 if self.chance() < 0.1 else 0.0  # share of the disturbances
        extending = max(0.0, self.chance() - 0.5) * 2  # half of the jobs are never extended
        rows = self.job.rows + sum(map(len, self.job.later.values())) * (extending > 0)
        number = (0, 0, 0, 0, 0, 1, 1, 1, 2, 2)[int(self.chance() * 10)]  # of rows that kill
        self.poison = {int(self.chance() * rows) for _ in range(number)}
        self.takes_all = self.chance() < 0.1  # such a row: the whole machine dies with it
        self.max_attempts = 1 + int(self.chance() * 3)
        self.hazard = HAZARDS[int(self.chance() * len(HAZARDS))]
        self.disturbances_left = int(self.chance() * 16)
        self.store = HostileStore()
        self.deterministic = self.chance() < 0.3
        self.pair = self.job.pair(self.chance) if self.deterministic and self.chance() < 0.2 else set()
        self.cluster = Cluster(dice, self.max_attempts, self.poison, self.deterministic, self.pair)
        self.cluster.trace = trace
        self.cluster.extending = extending
        self.reader = Reader(self.store, self.poison, self.cluster.ledger.had_cause)
        self.tally = Tally(schedules=1, poison_rows=len(self.poison))

    def play(self) -> Tally:
        """Go through the schedule; ViolationError if the reader was let down."""
        cluster = self.cluster
        cluster.note(
            "schedule",
            f"poison {self.poison}, pair {self.pair}, deterministic {self.deterministic}, "
            f"max_attempts {self.max_attempts}, hazard {self.hazard}, takes all {self.takes_all}",
        )
        calm = self.hazard == 0
        cluster.hasty = 0.0 if calm else 0.02
        cluster.runs_left = 1 if calm else 1 + int(self.chance() * (16 if self.whole_losses else 4))
        cluster.start_run(self.job)
        if cluster.runs_left and self.chance() < 0.5:
            other = self.chance() < 0.05  # somebody's mistake: another job in this folder
            cluster.start_run(JOBS[int(self.chance() * len(JOBS))] if other else self.job)
        self._go_on(until_all_is_quiet=False)
        if calm:
            self._check_deaths()
        self.hazard = 0.0
        if self.chance() < 0.5:  # else what is late comes while the last run is at work
            self._go_on(until_all_is_quiet=True)
        cluster.note("schedule", "is calm for the last run")
        cluster.hasty = 0.0
        self._last_run()
        self.tally.steps = cluster.now
        self.tally.crashes = cluster.crashes
        self.tally.poison_deaths = sum(cluster.poison_deaths.values())
        self.tally.whole_losses = cluster.whole_losses
        self.tally.given_up = cluster.given_up
        self.tally.extensions = len(self.reader.plans) - 1
        self.tally.innocents_quarantined = len(self.reader.crashed_rows - self.poison)
        return self.tally

    def _last_run(self) -> None:
        """It must reach its end, or give up the pair's shard.

        After another's the user starts a new one, and also where a plan file arrived late, behind its back.
        """
        cluster, ended = self.cluster, False
        while not ended and not cluster.pair_given_up:
            given_up, plan_files = cluster.given_up, len(self.reader.plans)
            cluster.start_run(self.reader.job or self.job)
            self._go_on(until_all_is_quiet=True)
            plan = cluster.runs[-1].plan
            known = max(plan_files, plan.plan_files if plan is not None else 0)
            ended = cluster.given_up == given_up and known == len(self.reader.plans)
        if cluster.pair_given_up:
            self.reader.look_at_a_job_given_up(self.pair)
        else:
            self.reader.look_at_the_end(cluster.runs[-1].found)

    def _check_deaths(self) -> None:
        for shard in self.reader.shards.values():
            allowed = most_deaths(self.max_attempts, shard.rows)
            if self.pair:
                if not self.pair <= rows_of([shard]):
                    continue
                deaths, allowed = self.cluster.pair_deaths, allowed * (1 + len(self.poison)) + TRIES_TOGETHER
            elif len(self.poison) == 1:
                deaths = self.cluster.poison_deaths.get(shard.id, 0)
                allowed += FORGIVEN * self.takes_all
            else:
                return
            require(deaths <= allowed, f"rows of {shard.id} killed {deaths} processes, more than {allowed}")

    def _go_on(self, until_all_is_quiet: bool) -> None:
        """Until all runs have ended, or until nothing is under way and nothing late either."""
        cluster, chance, step = self.cluster, self.chance, self._step
        while (cluster.actors or cluster.asleep) and (until_all_is_quiet or cluster.runs_alive):
            actors, asleep = cluster.actors, cluster.asleep
            if asleep and (not actors or chance() < 0.03):
                actors.append(asleep.pop(int(chance() * len(asleep))))
            step(actors[int(chance() * len(actors))])
            cluster.now += 1
            if cluster.now > MOST_STEPS:
                raise ViolationError("the runs do not end")

    def _step(self, actor: Actor) -> None:
        step = actor.unanswered
        if step is not None:
            actor.unanswered = None
        else:
            try:
                step = actor.steps.send(actor.result)
            except StopIteration as stop:
                self.cluster.actors.remove(actor)
                self.note(actor, "ends")
                if actor.trial is not None and actor.trial.claim is not None and actor.trial.alone:
                    actor.trial.claim.ended = self.cluster.now  # whether or not it says so
                actor.then(stop.value)
                return
            except (JobError, ValueError) as error:
                self.cluster.actors.remove(actor)
                self.note(actor, f"ends: {error}")
                if actor.trial is not None and actor.process is not None:
                    self.cluster.gives_up(actor.trial, actor.process.run)
                else:
                    self.cluster.refused(actor, error, self.reader.job)
                return
            actor.result = None
            if type(step) is Create and actor.trial is not None and step.path.startswith(ATTEMPTS):
                assert actor.process is not None
                trial = actor.trial
                trial.next_claim = self._claim(actor.process, trial, step)
        if type(step) is Enter:
            self._enter(actor, step)
        elif type(step) is Run:
            self._run(actor, step)
        elif self.hazard and self.disturbances_left and self.chance() < self.hazard:
            disturb(self, actor, step)
        else:
            self.apply(actor, step)

    def apply(self, actor: Actor, operation: Operation) -> None:
        actor.result = self.store.apply(operation)
        if type(operation) is List and not actor.has_whole(operation, self.chance):
            return
        trial = actor.trial
        if trial is not None and self.store.change is not None:  # now the store knows how far it is
            if trial.claim is not None and trial.claim is not trial.next_claim:
                trial.claim.ended = self.cluster.now
            trial.claim = trial.next_claim
        if self.cluster.trace is not None:
            self.note(actor, f"{shown(operation)} -> {shown(actor.result)}")
        if self.store.change is not None:
            self.reader.look(self.store.change)

    def _claim(self, process: Process, trial: Trial, marker: Create) -> Claim | None:
        """A try may run rows alone only where enough processes died of the shard."""
        ledger = self.cluster.ledger
        possible = ledger.deaths_at_most(trial)
        claim = ledger.claim(process, trial.shard, marker)
        if claim is not None and claim.row != WHOLE:
            enough = max(1, trial.max_attempts - 1)
            require(possible >= enough, f"{trial.shard.id} is suspected after {possible} deaths at most")
        return claim

    def _enter(self, actor: Actor, step: Enter) -> None:
        assert actor.process is not None
        assert actor.trial is not None
        if self.cluster.may_enter(actor.process, actor.trial, step.alone):
            self.note(actor, f"enters {'alone' if step.alone else 'beside'} with {actor.trial.shard.id}")
        else:
            actor.unanswered = step

    def _run(self, actor: Actor, step: Run) -> None:
        assert actor.process is not None
        assert actor.trial is not None
        shard = actor.trial.shard
        rows = step.rows
        numbers = {shard.first_row + row for row in rows}
        if self.pair and self.pair <= numbers:
            self.cluster.pair_deaths += 1
            self.note(actor, f"dies of rows {rows} of {shard.id} together")
            self.cluster.kill(actor.process)
        elif numbers & self.poison:
            self.cluster.poison_deaths[shard.id] += 1
            self.note(actor, f"dies of rows {rows} of {shard.id}")
            self.cluster.neighbours_are_innocent(actor.process)
            if self.takes_all:
                self.cluster.everything_dies(again=True)
            else:
                self.cluster.kill(actor.process)
        elif self.hazard and self.disturbances_left and self.chance() < self.hazard:
            self.disturbances_left -= 1
            if self.whole_losses and self.chance() < self.whole_losses:
                self.cluster.everything_dies()
            else:
                self.kill(actor, actor.process, f"while it runs {rows} of {shard.id}")
        else:
            self.note(actor, f"runs rows {rows} of {shard.id}")
            if self.deterministic:
                said = f"with rows {rows}, {actor.process.inside} inside"
            else:
                said = f"by {actor.process.name}"
            actor.trial.ran.update(dict.fromkeys(rows, said))

    def kill(self, actor: Actor, process: Process, why: str) -> None:
        self.note(actor, f"is killed {why}")
        self.cluster.crashes += 1
        self.cluster.kill(process)

    def note(self, actor: Actor, what: str) -> None:
        if self.cluster.trace is not None:
            self.cluster.note(actor.process.name if actor.process else "late request", what)
