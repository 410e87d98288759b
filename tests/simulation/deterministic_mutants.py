"""Equal bytes of all attempts at a shard, with one thing wrong at a time; see `mutants`."""

from itertools import count
from typing import Any

import pytest

from pipeline.durable import commit
from pipeline.durable import try_shard as trying
from pipeline.durable.try_shard import Try
from tests.simulation.mutants import Rewritten, mutant, rewritten

try_shard_deterministic = trying.try_shard_deterministic


@mutant
def pieces_are_published(patch: pytest.MonkeyPatch) -> None:
    def broken(*given: Any, run: str) -> Try:
        pieces, shard = 0, given[0]

        def skip_the_whole(step: Any) -> Rewritten:
            nonlocal pieces
            run = isinstance(step, trying.Run)
            if run and pieces and (0 in step.rows) and (shard.rows - 1 in step.rows):
                return None
            pieces += run
            return (yield step)

        return rewritten(try_shard_deterministic(*given, run=run), skip_the_whole)

    patch.setattr(trying, "try_shard_deterministic", broken)


@mutant
def a_shard_that_should_run_alone_runs_beside_others(patch: pytest.MonkeyPatch) -> None:
    def enter_beside(step: Any) -> Rewritten:
        return (yield trying.Enter(alone=False) if isinstance(step, trying.Enter) else step)

    def broken(*given: Any, run: str) -> Try:
        return rewritten(try_shard_deterministic(*given, run=run), enter_beside)

    patch.setattr(trying, "try_shard_deterministic", broken)


@mutant
def a_shard_is_never_given_up(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(trying, "TRIES_TOGETHER", 10**9)


@mutant
def a_shard_is_given_up_after_few_deaths(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(trying, "TRIES_TOGETHER", 2)


@mutant
def router_tables_are_named_after_their_attempts(patch: pytest.MonkeyPatch) -> None:
    names = count()
    patch.setattr(commit, "router_path", lambda shard, sha256: f"_job/router/{next(names)}.parquet")
