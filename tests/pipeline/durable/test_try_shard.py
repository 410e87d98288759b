import json
import math
import re
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.durable.attempts import FORGIVEN, losses, read_attempts
from pipeline.durable.operations import Create, apply, execute
from pipeline.durable.try_shard import (
    TRIES_TOGETHER,
    Enter,
    Run,
    TryShard,
    give_up,
    try_shard,
    try_shard_deterministic,
)
from pipeline.errors import JobError
from pipeline.shards.shard import Shard
from pipeline.storage.open_store import open_store

SHARD = Shard(0, "feed", "/in.jsonl", "in.jsonl", "etag", "jsonl", 0, 8, 0, 80)


def die_until_done(
    rows: int,
    poison: set[int],
    max_attempts: int,
    way: TryShard = try_shard,
    heavy: int = 1_000,
    markers: dict[str, bytes] | None = None,
    together: bool = False,
    kills: int = 1_000,
) -> tuple[int, set[int], set[int]]:
    """One process after the other tries a shard: deaths, rows quarantined, rows of its last run.

    A process dies of each of `poison`, and of so many rows at once as `heavy` says, but not after so many
    `kills`; `markers` are those of earlier runs. If they die `together` with their run, each has its own.
    """
    shard = Shard(0, "feed", "/in.jsonl", "in.jsonl", "etag", "jsonl", 0, rows, 0, 80)
    markers = {} if markers is None else markers
    for died in range(200):
        run = f"run-{len(markers)}" if together else "run"
        steps = way(shard, f"process-{len(markers)}", max_attempts, run=run)
        ran: set[int] = set()
        answer: object = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as stop:
                return died, stop.value, ran
            if isinstance(step, Run):
                if died < kills and (poison.intersection(step.rows) or len(step.rows) >= heavy):
                    break
                ran = set(step.rows) if way is try_shard_deterministic else ran | set(step.rows)
            elif hasattr(step, "data"):
                markers[step.path] = step.data
                answer = True
            elif not isinstance(step, Enter):
                answer = markers.get(step.path)  # type: ignore[union-attr]
    raise AssertionError("the shard never ends")


WAYS = st.sampled_from([try_shard, try_shard_deterministic])


@given(st.data(), st.integers(1, 300), st.integers(1, 6), WAYS, st.booleans())
def test_one_row_that_kills_costs_few_deaths_and_only_itself(
    data: st.DataObject, rows: int, max_attempts: int, way: TryShard, together: bool
) -> None:
    poison = data.draw(st.integers(0, rows - 1))
    died, bad, ran = die_until_done(rows, {poison}, max_attempts, way, together=together)
    assert bad == {poison}
    assert ran == set(range(rows)) - bad
    # a shard of one row is first tried beside others, which says nothing of the row
    most = max(2, max_attempts) + max(1, math.ceil(math.log2(rows)))
    # a row that takes its whole run along can't be told from a stop at first
    assert died <= most + FORGIVEN * together


@given(st.integers(1, 40), st.sets(st.integers(0, 39), max_size=6), WAYS)
def test_many_rows_that_kill_are_all_found(rows: int, chosen: set[int], way: TryShard) -> None:
    poison = {row for row in chosen if row < rows}
    _, bad, ran = die_until_done(rows, poison, 3, way)
    assert bad == poison
    assert ran == set(range(rows)) - poison


@given(st.integers(2, 40), st.integers(1, 4))
def test_rows_that_kill_together_only_are_published_in_pieces_or_given_up(
    rows: int, max_attempts: int
) -> None:
    _, bad, ran = die_until_done(rows, set(), max_attempts, try_shard, heavy=rows)
    assert bad == set()
    assert ran == set(range(rows))
    markers: dict[str, bytes] = {}
    with pytest.raises(JobError, match=r"raise errors\.max_attempts"):
        die_until_done(rows, set(), max_attempts, try_shard_deterministic, heavy=rows, markers=markers)
    together = [m for m in map(json.loads, markers.values()) if not m["alone"]]
    assert len(together) == max_attempts + TRIES_TOGETHER


@given(st.integers(2, 40), st.integers(1, 4))
def test_a_shard_hit_from_outside_many_times_in_its_last_step_is_not_given_up(
    rows: int, max_attempts: int
) -> None:
    kills = max_attempts + TRIES_TOGETHER - 1
    tried = die_until_done(rows, set(), max_attempts, try_shard_deterministic, heavy=rows, kills=kills)
    assert tried == (kills, set(), set(range(rows)))


@pytest.mark.parametrize("way", [try_shard, try_shard_deterministic])
def test_a_broken_machine_is_not_taken_for_bad_rows_and_the_job_goes_on_once_it_is_mended(
    way: TryShard,
) -> None:
    markers: dict[str, bytes] = {}
    with pytest.raises(JobError, match=r"9 rows of shard feed .* the last time process-\d+") as told:
        die_until_done(12, set(range(12)), 1, way, markers=markers)
    with pytest.raises(JobError, match="9 rows"):
        die_until_done(12, set(), 1, way, markers=markers)
    told_to_remove = re.search(r"remove (\S+)\*", str(told.value))
    assert told_to_remove is not None
    left = {path: data for path, data in markers.items() if not path.startswith(told_to_remove[1])}
    assert die_until_done(12, set(), 1, way, markers=left) == (0, set(), set(range(12)))


@pytest.mark.parametrize("way", [try_shard, try_shard_deterministic])
def test_more_bad_rows_than_are_likely_are_all_found_if_the_user_says_so(way: TryShard) -> None:
    markers: dict[str, bytes] = {}
    with pytest.raises(JobError, match=r"raise errors\.max_crashed_rows"):
        die_until_done(40, set(range(12)), 3, way, markers=markers)
    _, bad, _ = die_until_done(40, set(range(12)), 3, partial(way, max_crashed_rows=12), markers=markers)
    assert bad == set(range(12))


@pytest.mark.parametrize("late", [True, False])
def test_a_try_that_is_given_up_while_it_is_noted_is_no_death(tmp_path: Path, late: bool) -> None:
    store = open_store(tmp_path)
    steps, answer = try_shard(SHARD, "p", 3, run="r"), None
    while not isinstance(step := steps.send(answer), Create):
        answer = False if isinstance(step, Enter) else apply(step, store)
    if not late:
        apply(step, store)
    execute(give_up(SHARD, "p"), store)
    if late:
        apply(step, store)
    assert losses(execute(read_attempts(SHARD), store)) == []
