"""The protocol with one thing wrong at a time; the simulation must notice each.

A mutant takes the place of one function or method for as long as the patch lasts.
"""

import json
from collections.abc import Callable, Generator, Mapping
from itertools import count
from typing import Any

import pytest

from pipeline.durable import commit, job_start, success
from pipeline.durable.commit import Published, RouterTable
from pipeline.durable.job_spec import SPEC, require_same, spec_bytes
from pipeline.durable.operations import Create, List, Read, Steps, first_wins
from pipeline.shards.plan import Plan
from pipeline.shards.shard import Shard
from tests.simulation import actors
from tests.simulation.hostile_store import HostileStore

Mutant = Callable[[pytest.MonkeyPatch], None]
MakePart = Callable[[RouterTable | None], bytes]
Rewritten = Generator[Any, Any, Any]
MUTANTS: list[Mutant] = []
publish, start = commit.publish, job_start.start


def mutant(change: Mutant) -> Mutant:
    MUTANTS.append(change)
    return change


def rewritten(steps: Rewritten, rewrite: Callable[[Any], Rewritten]) -> Rewritten:
    """The same steps, each rewritten: what `rewrite` yields is done for it, what it returns is the answer."""
    answer: Any = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as stop:
            return stop.value
        answer = yield from rewrite(step)


@mutant
def create_overwrites(patch: pytest.MonkeyPatch) -> None:
    def create(self: HostileStore, path: str, data: bytes) -> bool:
        self.write(path, data)
        return True

    patch.setattr(HostileStore, "create", create)


@mutant
def part_is_named_after_its_attempt(patch: pytest.MonkeyPatch) -> None:
    names = count()

    def broken(shard: Shard, table: bytes, make_part: MakePart) -> Steps[Published]:
        attempt = next(names)

        def rename(step: Any) -> Rewritten:
            if step.path.startswith("generations/"):
                step = Create(step.path.replace(".parquet", f"-{attempt}.parquet"), step.data)
            return (yield step)

        return rewritten(publish(shard, table, make_part), rename)

    patch.setattr(commit, "publish", broken)


@mutant
def part_comes_before_its_router_table(patch: pytest.MonkeyPatch) -> None:
    def broken(shard: Shard, table: bytes, make_part: MakePart) -> Steps[Published]:
        held: list[Create] = []

        def hold_the_first(step: Any) -> Rewritten:
            if isinstance(step, Create) and not held:
                held.append(step)
                return True
            return (yield step)

        published: Published = yield from rewritten(publish(shard, table, make_part), hold_the_first)
        yield held[0]
        return published

    patch.setattr(commit, "publish", broken)


@mutant
def attempts_share_a_router_table(patch: pytest.MonkeyPatch) -> None:
    def broken(shard: Shard, table: bytes, make_part: MakePart) -> Steps[Published]:
        path = commit.router_path(shard, "any")
        yield Create(path, table)
        created = yield Create(commit.part_path(shard), make_part(RouterTable(path, commit.sha256_of(table))))
        return Published(commit.part_path(shard), None if created else "")

    patch.setattr(commit, "publish", broken)


@mutant
def what_exists_is_a_failure_to_be_mended_by_another_name(patch: pytest.MonkeyPatch) -> None:
    def broken(shard: Shard, table: bytes, make_part: MakePart) -> Steps[Published]:
        published = yield from publish(shard, table, make_part)
        if published.sha256 is None:
            held = yield Read(published.path)
            yield Create(published.path.replace(".parquet", "-1.parquet"), held)
        return published

    patch.setattr(commit, "publish", broken)


@mutant
def done_marker_comes_before_the_part(patch: pytest.MonkeyPatch) -> None:
    def publish_after_marker(shard: Shard, table: bytes, make_part: MakePart) -> Steps[Published]:
        yield Create(f"_job/done/{shard.id}", b"")
        return (yield from publish(shard, table, make_part))

    def trusting(plan: Plan) -> Steps[list[Shard]]:
        done = yield List("_job/done")
        return [shard for shard in plan.shards if f"_job/done/{shard.id}" not in done]

    patch.setattr(commit, "publish", publish_after_marker)
    patch.setattr(actors, "remaining", trusting)


@mutant
def success_is_written_unchecked(patch: pytest.MonkeyPatch) -> None:
    def broken(plan: Plan, summary: Mapping[str, Any], published: Mapping[str, str | None]) -> Steps[Any]:
        parts = []
        for path in (yield List("generations")):
            parts.append({"path": path, "sha256": commit.sha256_of((yield Read(path)))})
        yield Create(success.SUCCESS, json.dumps({"parts": parts}).encode())

    patch.setattr(success, "finalize", broken)


@mutant
def every_run_follows_its_own_plan(patch: pytest.MonkeyPatch) -> None:
    def broken(spec: Mapping[str, Any], make_plan: Callable[[], bytes]) -> Steps[list[bytes]]:
        yield from start(spec, make_plan)
        return [make_plan()]

    patch.setattr(job_start, "start", broken)


@mutant
def spec_is_looked_at_but_not_after_it_was_created(patch: pytest.MonkeyPatch) -> None:
    def broken(spec: Mapping[str, Any], make_plan: Callable[[], bytes]) -> Steps[list[bytes]]:
        stored = yield Read(SPEC)
        if stored is not None:
            require_same(stored, spec)
        else:
            yield Create(SPEC, spec_bytes(spec))
        first = yield from first_wins(job_start.plan_path(0), make_plan())
        return (yield from job_start._with_later_ones([first]))

    patch.setattr(job_start, "start", broken)
