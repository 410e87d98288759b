"""Counting attempts and looking for the poison row with one thing wrong at a time; see `mutants`."""

from typing import Any

import pytest

from pipeline.durable import attempts
from pipeline.durable import try_shard as trying
from pipeline.durable.attempts import Attempt, Piece
from pipeline.durable.operations import Create
from pipeline.durable.try_shard import Try
from pipeline.shards.shard import Shard
from tests.simulation.mutants import Rewritten, mutant, rewritten

try_shard, pieces_to_run_alone = trying.try_shard, attempts.pieces_to_run_alone


@mutant
def attempts_are_counted_after_the_try(patch: pytest.MonkeyPatch) -> None:
    def broken(shard: Shard, process: str, max_attempts: int) -> Try:
        held: list[Create] = []

        def count_late(step: Any) -> Rewritten:
            if isinstance(step, Create):
                held.append(step)
                return True
            answer = yield step
            if isinstance(step, trying.Run):
                yield held.pop()
            return answer

        return rewritten(try_shard(shard, process, max_attempts), count_late)

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
    def keep_silent(step: Any) -> Rewritten:
        through = isinstance(step, Create) and b'"end":0}' in step.data
        return True if through else (yield step)

    patch.setattr(trying, "try_shard", lambda *given: rewritten(try_shard(*given), keep_silent))


@mutant
def a_suspected_shard_leaves_between_its_pieces(patch: pytest.MonkeyPatch) -> None:
    def broken(shard: Shard, process: str, max_attempts: int) -> Try:
        alone = False

        def leave(step: Any) -> Rewritten:
            nonlocal alone
            answer = yield step
            if isinstance(step, trying.Enter):
                alone = step.alone
            elif isinstance(step, trying.Run) and alone:
                yield trying.Enter(alone=True)
            return answer

        return rewritten(try_shard(shard, process, max_attempts), leave)

    patch.setattr(trying, "try_shard", broken)
