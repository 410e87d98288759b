"""Counting attempts and looking for the poison row with one thing wrong at a time; see `mutants`."""

from typing import Any

import pytest

from pipeline.durable import attempts
from pipeline.durable import try_shard as trying
from pipeline.durable.attempts import Attempt, Piece
from pipeline.durable.operations import Create
from pipeline.durable.try_shard import Try
from tests.simulation.mutants import Rewritten, mutant, rewritten

try_shard, pieces_to_run_alone = trying.try_shard, attempts.pieces_to_run_alone


@mutant
def attempts_are_counted_after_the_try(patch: pytest.MonkeyPatch) -> None:
    def broken(*given: Any, run: str) -> Try:
        held: list[Create] = []

        def count_late(step: Any) -> Rewritten:
            if isinstance(step, Create):
                held.append(step)
                return True
            answer = yield step
            if isinstance(step, trying.Run):
                yield held.pop()
            return answer

        return rewritten(try_shard(*given, run=run), count_late)

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
    def hasty(died: list[Attempt]) -> set[int]:
        return {attempt.piece.first for attempt in died if attempt.alone and len(attempt.piece) == 1}

    patch.setattr(trying, "quarantined", hasty)
    patch.setattr(attempts, "quarantined", hasty)


@mutant
def a_row_beside_others_is_blamed_as_if_alone(patch: pytest.MonkeyPatch) -> None:
    def unjust(died: list[Attempt]) -> set[int]:
        blamed = [attempt.piece.first for attempt in died if len(attempt.piece) == 1]
        return {row for row in blamed if blamed.count(row) > 1}

    patch.setattr(trying, "quarantined", unjust)
    patch.setattr(attempts, "quarantined", unjust)


@mutant
def who_went_on_counts_as_dead(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(trying, "deaths", lambda tried, *me: [attempt for attempt in tried if len(attempt.piece)])


@mutant
def a_process_does_not_say_that_it_is_through(patch: pytest.MonkeyPatch) -> None:
    def keep_silent(step: Any) -> Rewritten:
        through = isinstance(step, Create) and b'"end":0}' in step.data
        return True if through else (yield step)

    def broken(*given: Any, run: str) -> Try:
        return rewritten(try_shard(*given, run=run), keep_silent)

    patch.setattr(trying, "try_shard", broken)


@mutant
def a_suspected_shard_leaves_between_its_pieces(patch: pytest.MonkeyPatch) -> None:
    def broken(*given: Any, run: str) -> Try:
        alone = False

        def leave(step: Any) -> Rewritten:
            nonlocal alone
            answer = yield step
            if isinstance(step, trying.Enter):
                alone = step.alone
            elif isinstance(step, trying.Run) and alone:
                yield trying.Enter(alone=True)
            return answer

        return rewritten(try_shard(*given, run=run), leave)

    patch.setattr(trying, "try_shard", broken)


@mutant
def all_that_is_lost_with_its_run_is_blamed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(trying, "deaths", lambda tried, *me: attempts.losses(tried))


@mutant
def what_is_lost_with_its_run_is_never_blamed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(attempts, "FORGIVEN", 10**9)


@mutant
def what_is_lost_with_its_run_is_forgiven_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(attempts, "FORGIVEN", 1)


@mutant
def a_run_that_gives_a_shard_away_again_sees_no_death(patch: pytest.MonkeyPatch) -> None:
    deaths = attempts.deaths
    patch.setattr(trying, "deaths", lambda tried, process, run: deaths(tried, process, "no run"))


@mutant
def whoever_writes_after_a_loss_is_its_witness(patch: pytest.MonkeyPatch) -> None:
    def broken(tried: list[Attempt], process: str, run: str) -> list[Attempt]:
        last_of = {attempt.run: number for number, attempt in enumerate(tried)}
        return [
            lost
            for lost in attempts.losses(tried)
            if lost.run == run or last_of[lost.run] > tried.index(lost) or tried.index(lost) > 8
        ]

    patch.setattr(trying, "deaths", broken)
