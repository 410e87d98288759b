"""Counting attempts and looking for the poison row with one thing wrong at a time; see `mutants`."""

from collections.abc import Generator
from typing import Any

import pytest

from pipeline.durable import attempts, trying
from pipeline.durable.attempts import Attempt, Piece
from pipeline.durable.operations import Create
from pipeline.reading.plan import Shard
from tests.simulation.mutants import mutant

try_shard, pieces_to_run_alone = trying.try_shard, attempts.pieces_to_run_alone


@mutant
def attempts_are_counted_after_the_try(patch: pytest.MonkeyPatch) -> None:
    def broken(shard: Shard, process: str, max_attempts: int) -> Generator[Any, Any, set[int]]:
        held: list[Create] = []
        answer: Any = None
        steps = try_shard(shard, process, max_attempts)
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as stop:
                bad: set[int] = stop.value
                return bad
            if isinstance(step, Create):
                held.append(step)
                answer = True
            else:
                answer = yield step
                if isinstance(step, trying.Run):
                    yield held.pop()

    patch.setattr(trying, "try_shard", broken)


@mutant
def bisection_forgets_the_other_half(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(trying, "pieces_to_run_alone", lambda *given: pieces_to_run_alone(*given)[:2])


@mutant
def bisection_never_halves(patch: pytest.MonkeyPatch) -> None:
    def broken(died: list[Attempt], rows: int, max_attempts: int) -> list[Piece]:
        pieces = pieces_to_run_alone(died, rows, max_attempts)
        return [Piece(0, rows)] if pieces else []

    patch.setattr(trying, "pieces_to_run_alone", broken)


@mutant
def one_death_is_enough_for_quarantine(patch: pytest.MonkeyPatch) -> None:
    def hasty(tried: list[Attempt]) -> set[int]:
        return {died.piece.first for died in attempts.deaths(tried) if died.alone and len(died.piece) == 1}

    patch.setattr(trying, "quarantined", hasty)
    patch.setattr(attempts, "quarantined", hasty)


@mutant
def a_row_beside_others_is_blamed_as_if_alone(patch: pytest.MonkeyPatch) -> None:
    def unjust(tried: list[Attempt]) -> set[int]:
        blamed = [died.piece.first for died in attempts.deaths(tried) if len(died.piece) == 1]
        return {row for row in blamed if blamed.count(row) > 1}

    patch.setattr(trying, "quarantined", unjust)
    patch.setattr(attempts, "quarantined", unjust)


@mutant
def who_went_on_counts_as_dead(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(attempts, "deaths", lambda tried: [attempt for attempt in tried if len(attempt.piece)])


@mutant
def a_process_does_not_say_that_it_is_through(patch: pytest.MonkeyPatch) -> None:
    def broken(shard: Shard, process: str, max_attempts: int) -> Generator[Any, Any, set[int]]:
        answer: Any = None
        steps = try_shard(shard, process, max_attempts)
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as stop:
                bad: set[int] = stop.value
                return bad
            through = isinstance(step, Create) and b'"end":0}' in step.data
            answer = True if through else (yield step)

    patch.setattr(trying, "try_shard", broken)


@mutant
def a_suspected_shard_leaves_between_its_pieces(patch: pytest.MonkeyPatch) -> None:
    def broken(shard: Shard, process: str, max_attempts: int) -> Generator[Any, Any, set[int]]:
        answer: Any = None
        alone = False
        steps = try_shard(shard, process, max_attempts)
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as stop:
                bad: set[int] = stop.value
                return bad
            answer = yield step
            if isinstance(step, trying.Enter):
                alone = step.alone
            elif isinstance(step, trying.Run) and alone:
                yield trying.Enter(alone=True)

    patch.setattr(trying, "try_shard", broken)
