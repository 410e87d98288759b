"""Extending a job with one thing wrong at a time; see `mutants`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from pipeline.durable import commit, job_start, success
from pipeline.durable.commit import remaining
from pipeline.durable.job_start import plan_path
from pipeline.durable.operations import Create, Read, Steps, first_wins
from pipeline.shards.plan import Plan
from pipeline.shards.shard import Shard
from tests.simulation import actors
from tests.simulation.mutants import mutant

PlanNewFiles = Callable[[list[bytes]], bytes | None]
extend, finalize, start = job_start.extend, success.finalize, job_start.start


@mutant
def who_is_second_to_extend_leaves_its_files_out(patch: pytest.MonkeyPatch) -> None:
    def broken(stored: list[bytes], plan_new_files: PlanNewFiles) -> Steps[list[bytes]]:
        planned = plan_new_files(stored)
        if planned is None:
            return stored
        return [*stored, (yield from first_wins(plan_path(len(stored)), planned))]

    patch.setattr(job_start, "extend", broken)


@mutant
def who_is_second_to_extend_only_takes_the_next_number(patch: pytest.MonkeyPatch) -> None:
    def broken(stored: list[bytes], plan_new_files: PlanNewFiles) -> Steps[list[bytes]]:
        planned, number = plan_new_files(stored), len(stored)
        if planned is not None:
            while not (yield Create(plan_path(number), planned)):
                number += 1
        return (yield from job_start._with_later_ones(stored))

    patch.setattr(job_start, "extend", broken)


@mutant
def an_extension_is_made_of_what_the_first_plan_does_not_name(patch: pytest.MonkeyPatch) -> None:
    def broken(stored: list[bytes], plan_new_files: PlanNewFiles) -> Steps[list[bytes]]:
        return (yield from extend(stored, lambda plans: plan_new_files(plans[:1])))

    patch.setattr(job_start, "extend", broken)


@mutant
def who_extends_trusts_its_own_plan(patch: pytest.MonkeyPatch) -> None:
    def broken(stored: list[bytes], plan_new_files: PlanNewFiles) -> Steps[list[bytes]]:
        planned = plan_new_files(stored)
        if planned is None:
            return stored
        yield Create(plan_path(len(stored)), planned)
        return [*stored, planned]

    patch.setattr(job_start, "extend", broken)


@mutant
def a_resume_knows_the_first_plan_alone(patch: pytest.MonkeyPatch) -> None:
    def broken(spec: Mapping[str, Any], make_plan: Callable[[], bytes]) -> Steps[list[bytes]]:
        return (yield from start(spec, make_plan))[:1]

    patch.setattr(job_start, "start", broken)


@mutant
def an_extension_is_taken_for_another_job(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(commit, "is_behind", lambda plan, path: False)


@mutant
def success_of_one_plan_stands_for_all(patch: pytest.MonkeyPatch) -> None:
    def broken(plan: Plan, summaries: Sequence[Any], known: Mapping[str, str | None]) -> Steps[None]:
        done = len(plan.by_plan_file()[0])
        yield from finalize(Plan(plan.shards[:done], ()), summaries[:1], known)
        for number in range(1, plan.plan_files):
            yield Create(success.success_path(number), b'{"parts": []}')

    patch.setattr(success, "finalize", broken)


@mutant
def each_success_names_the_parts_of_all(patch: pytest.MonkeyPatch) -> None:
    def broken(plan: Plan, summaries: Sequence[Any], known: Mapping[str, str | None]) -> Steps[None]:
        yield from finalize(Plan(plan.shards, ()), summaries[:1], known)
        whole = yield Read(success.SUCCESS)
        for number in range(1, plan.plan_files):
            yield Create(success.success_path(number), whole)

    patch.setattr(success, "finalize", broken)


@mutant
def an_extension_is_not_looked_for_among_the_missing(patch: pytest.MonkeyPatch) -> None:
    def broken(plan: Plan) -> Steps[list[Shard]]:
        missing = yield from remaining(plan)
        return [shard for shard in missing if shard.ordinal < len(plan.by_plan_file()[0])]

    patch.setattr(actors, "remaining", broken)
