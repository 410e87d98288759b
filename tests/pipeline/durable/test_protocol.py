import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import JobConfig
from pipeline.durable.protocol import (
    SPEC,
    SUCCESS,
    RouterTable,
    execute,
    finalize,
    part_path,
    publish,
    remaining,
    start,
)
from pipeline.durable.spec import make_spec
from pipeline.errors import ConfigError
from pipeline.reading.plan import Plan, Shard
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
    return Store.open(tmp_path / "out")


def test_the_first_plan_wins(store: Store) -> None:
    assert execute(start(SPEC_OF_JOB, lambda: PLAN_BYTES), store) == PLAN_BYTES
    assert execute(start(SPEC_OF_JOB, lambda: b"another plan"), store) == PLAN_BYTES
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


def test_what_changes_no_row_may_change_between_runs() -> None:
    moved = job(
        job="renamed", model__path="s3://elsewhere", model__tensor_parallel=2, output__path="other",
        engine__replicas=3, engine__max_batch_rows=8, errors__max_attempts=9,
    )  # fmt: skip
    assert make_spec(moved, "weights", "tokens") == SPEC_OF_JOB


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
    with pytest.raises(ValueError, match="4 are not"):
        execute(finalize(THE_PLAN, {}), store)
    hashes = {}
    for shard in SHARDS:
        published = execute(publish(shard, None, lambda table: b"rows"), store)
        hashes[published.path] = published.sha256
    success = execute(finalize(THE_PLAN, {"rows_by_status": {"ok": 40}}, hashes), store)
    assert success == json.loads(store.read(SUCCESS))
    assert success["rows"] == 40
    assert [part["path"] for part in success["parts"]] == [part_path(shard) for shard in SHARDS]
    assert execute(finalize(THE_PLAN, {"rows_by_status": {}}), store) == success
