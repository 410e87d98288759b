import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.job import JobConfig
from pipeline.durable.commit import SUCCESS, RouterTable, finalize, part_path, publish, remaining
from pipeline.durable.job_spec import make_spec, spec_bytes
from pipeline.durable.job_start import SPEC, extend, start
from pipeline.durable.operations import execute
from pipeline.errors import ConfigError, JobError
from pipeline.shards.plan import Plan
from pipeline.shards.shard import Shard
from pipeline.storage.open_store import open_store
from pipeline.storage.store import Store


def job(**changes: Any) -> JobConfig:
    data: dict[str, Any] = {
        "job": "test",
        "task": "generate",
        "model": {"path": "checkpoint"},
        "input": {"path": "in.jsonl", "prompt": {"column": "text"}},
        "output": {"path": "out"},
    }
    for dotted, value in changes.items():
        section, _, key = dotted.partition("__")
        if key:
            data[section] = data.get(section, {}) | {key: value}
        else:
            data[section] = value
    return JobConfig.model_validate(data)


SPEC_OF_JOB = make_spec(job(), "weights", "tokens")
SHARDS = tuple(
    Shard(n, f"{n:016x}", "/in.jsonl", "in.jsonl", "etag", "jsonl", 10 * n, 10, 100 * n, 100 * (n + 1))
    for n in range(4)
)
THE_PLAN = Plan(SHARDS, ())
PLAN_BYTES = THE_PLAN.to_parquet()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "out")


def test_the_first_plan_wins(store: Store) -> None:
    assert execute(start(SPEC_OF_JOB, lambda: PLAN_BYTES), store) == [PLAN_BYTES]
    assert execute(start(SPEC_OF_JOB, lambda: b"another plan"), store) == [PLAN_BYTES]
    assert Plan.from_parquet(PLAN_BYTES) == THE_PLAN


def test_input_that_cannot_be_planned_leaves_no_trace(store: Store) -> None:
    def fail() -> bytes:
        raise ConfigError("no such column")

    with pytest.raises(ConfigError, match="no such column"):
        execute(start(SPEC_OF_JOB, fail), store)
    assert not store.exists(SPEC)
    corrected = job(input={"path": "in.jsonl", "prompt": {"column": "body"}})
    execute(start(make_spec(corrected, "weights", "tokens"), lambda: PLAN_BYTES), store)


def test_another_job_in_the_folder_is_refused_part_by_part(store: Store) -> None:
    execute(start(SPEC_OF_JOB, lambda: PLAN_BYTES), store)
    changed = job(generation__temperature=0.5, input__keep=["language"])
    with pytest.raises(ConfigError) as refusal:
        execute(start(make_spec(changed, "weights", "others"), lambda: PLAN_BYTES), store)
    message = str(refusal.value)
    assert "generation.temperature: was 0.0, is 0.5" in message
    assert 'input.keep: was [], is ["language"]' in message
    assert "tokenizer" in message
    assert "checkpoint" not in message


def test_a_folder_of_another_version_is_refused_for_that_alone(store: Store) -> None:
    store.create(SPEC, spec_bytes(SPEC_OF_JOB | {"format_version": 1, "checkpoint": "fingerprint of then"}))
    with pytest.raises(ConfigError, match=r"another job \(format version 1 \(now 2\)\)"):
        execute(start(SPEC_OF_JOB, lambda: PLAN_BYTES), store)


def test_what_changes_no_row_may_change_between_runs() -> None:
    moved = job(
        job="renamed", model__path="s3://elsewhere", model__tensor_parallel=2, output__path="other",
        engine__replicas=3, engine__max_batch_rows=8, errors__max_attempts=9,
    )  # fmt: skip
    assert make_spec(moved, "weights", "tokens") == SPEC_OF_JOB


def test_ranks_that_round_by_themselves_may_not_change_in_number() -> None:
    one, two = (job(model__quantization="int8", model__tensor_parallel=ranks) for ranks in (1, 2))
    assert make_spec(one, "weights", "tokens") != make_spec(two, "weights", "tokens")


def test_a_spec_that_is_not_ours_is_refused(store: Store) -> None:
    store.create(SPEC, b"{}")
    with pytest.raises(ConfigError, match="not one of mixtray"):
        execute(start(SPEC_OF_JOB, lambda: PLAN_BYTES), store)


def test_parts_of_another_job_are_refused(store: Store) -> None:
    store.create("generations/part-000000-feed.parquet", b"")
    with pytest.raises(ConfigError, match="part-000000-feed"):
        execute(remaining(THE_PLAN), store)


def test_a_part_names_the_router_table_of_its_own_attempt(store: Store) -> None:
    seen = []

    def make_part(table: RouterTable | None) -> bytes:
        seen.append(table)
        return b"rows"

    published = execute(publish(SHARDS[0], b"table", make_part), store)
    assert seen[0] is not None
    assert store.read(seen[0].path) == b"table"
    assert published.sha256 is not None
    assert execute(publish(SHARDS[0], b"another table", make_part), store).sha256 is None
    assert seen[1].path != seen[0].path
    assert store.read(seen[0].path) == b"table"
    assert execute(publish(SHARDS[0], b"table", make_part), store).sha256 is None
    assert seen[2] == seen[0], "equal attempts give equal bytes"
    assert execute(publish(SHARDS[1], None, make_part), store).sha256 is not None
    assert seen[3] is None
    assert execute(remaining(THE_PLAN), store) == list(SHARDS[2:])


def test_success_lists_every_part_as_it_is_stored(store: Store) -> None:
    with pytest.raises(JobError, match=r"output\.path lacks 4 shards that"):
        execute(finalize(THE_PLAN, [{}]), store)
    hashes = {}
    for shard in SHARDS:
        published = execute(publish(shard, None, lambda table: b"rows"), store)
        hashes[published.path] = published.sha256
    execute(finalize(THE_PLAN, [{"rows_by_status": {"ok": 40}}], hashes), store)
    written = store.read(SUCCESS)
    success = json.loads(written)
    assert (success["rows"], success["rows_by_status"]) == (40, {"ok": 40})
    assert {part["path"]: part["sha256"] for part in success["parts"]} == hashes
    assert [part["path"] for part in success["parts"]] == [part_path(shard) for shard in SHARDS]
    execute(finalize(THE_PLAN, [{"rows_by_status": {}}]), store)
    assert store.read(SUCCESS) == written


def test_a_part_that_vanishes_while_it_is_hashed_is_named(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [execute(publish(shard, None, lambda table: b"rows"), store).path for shard in SHARDS]
    monkeypatch.setattr(store, "list", lambda folder, cuts: parts)
    Path(store.root, parts[2]).unlink()
    with pytest.raises(JobError, match=f"lacks 1 shards that were committed, {SHARDS[2].id} for one"):
        execute(finalize(THE_PLAN, [{}]), store)
    assert not store.exists(SUCCESS)


def test_each_plan_file_has_its_own_success(store: Store) -> None:
    """A reader sees by their number whether an extended job is complete, and what its first plan came to."""
    first, second = Plan(SHARDS[:3], ()), Plan(SHARDS[3:], ())
    whole = Plan.join([first, second])
    for shard in SHARDS[:3]:
        execute(publish(shard, None, lambda table: b"rows"), store)
    execute(finalize(first, [{}]), store)
    before = store.read(SUCCESS)
    with pytest.raises(JobError, match=r"output\.path lacks 1 shards that"):
        execute(finalize(whole, [{}, {}]), store)
    assert not store.exists("_SUCCESS-001")
    execute(publish(SHARDS[3], None, lambda table: b"rows"), store)
    execute(finalize(whole, [{}, {}]), store)
    assert store.read(SUCCESS) == before
    assert [part["rows"] for part in json.loads(store.read("_SUCCESS-001"))["parts"]] == [10]


def test_of_two_runs_that_extend_the_second_plans_what_is_still_new(store: Store) -> None:
    def plan_new_files(seen: list[bytes]) -> Callable[[list[bytes]], bytes | None]:
        return lambda plans: b"".join(file for file in seen if file not in b"".join(plans)) or None

    plans = execute(start(SPEC_OF_JOB, lambda: b"a"), store)
    assert execute(extend(plans, plan_new_files([b"a", b"b"])), store) == [b"a", b"b"]
    # The other one had read the plans before.
    assert execute(extend(plans, plan_new_files([b"a", b"b", b"c"])), store) == [b"a", b"b", b"c"]
    assert execute(start(SPEC_OF_JOB, lambda: b"unused"), store) == [b"a", b"b", b"c"]


def test_parts_of_an_extension_do_not_disturb_a_run_that_does_not_know_it(store: Store) -> None:
    execute(start(SPEC_OF_JOB, lambda: b"plan"), store)
    store.create(part_path(SHARDS[3]), b"rows")
    first = Plan(SHARDS[:3], ())
    with pytest.raises(ConfigError, match="not of this job"):
        execute(remaining(first), store)
    execute(extend([b"plan"], lambda plans: b"more" if len(plans) == 1 else None), store)
    assert execute(remaining(first), store) == list(SHARDS[:3])
    store.create("generations/part-000001-feed.parquet", b"")
    with pytest.raises(ConfigError, match="part-000001-feed"):
        execute(remaining(first), store)
