"""Files of extended jobs, of jobs that began empty, and of nobody."""

from pathlib import Path

import pytest

from pipeline.config.job import JobConfig
from pipeline.durable.commit import EMPTY_TABLE
from pipeline.errors import ConfigError
from pipeline.output.empty_table import write_empty_table
from pipeline.preflight.job import check_job
from pipeline.preflight.job_plan import load_or_make_plan, shards_to_do
from pipeline.storage.open_store import open_store
from tests import small_output
from tests.pipeline.output.verified import damaged, name, verified


def test_a_lost_plan_file_is_named_and_its_parts_are_not_called_strangers(tmp_path: Path) -> None:
    out = extended(tmp_path)
    assert damaged(out) == {}
    lost = out / "_job/plan-001.parquet"
    lost.unlink()
    assert damaged(out) == {name(out, lost): "it is missing"}, "_SUCCESS-001 tells of it"
    (out / "_SUCCESS-001").unlink()
    [found] = verified(out).damage
    assert found.path.startswith("generations/part-000003-")
    assert found.what == f"no plan file names it; if the job was extended, {name(out, lost)} is lost"
    assert "with --extend" in found.remedy


def test_a_lost_plan_file_is_planned_anew_as_the_sentence_says(tmp_path: Path) -> None:
    out = extended(tmp_path)
    lost = out / "_job/plan-001.parquet"
    whole = lost.read_bytes()
    lost.unlink()
    (out / "_SUCCESS-001").unlink()
    job = check_job(JobConfig.model_validate(small_output.job_data(tmp_path)))
    store = open_store(out)
    with pytest.raises(ConfigError, match=r"run it with --extend if _job/plan-001.parquet was lost"):
        shards_to_do(job, store, load_or_make_plan(job, store, extending=False))
    plan = load_or_make_plan(job, store, extending=True)
    assert lost.read_bytes() == whole
    assert not shards_to_do(job, store, plan)[0]
    small_output.finish(job, store, plan)
    assert damaged(out) == {}


def extended(place: Path) -> Path:
    """A finished job to which a file was added, with all that is due to it."""
    data = small_output.job_data(place)
    job, store, plan = small_output.begin(data)
    small_output.commit(job, store, plan.shards)
    small_output.finish(job, store, plan)
    (place / "in/c.jsonl").write_text('{"text": "And order 9?"}\n')
    plan = load_or_make_plan(job, store, extending=True)
    small_output.commit(job, store, plan.by_plan_file()[1])
    small_output.finish(job, store, plan)
    return Path(store.root)


def test_a_job_that_began_empty_is_checked(tmp_path: Path) -> None:
    data = small_output.job_data(tmp_path)
    for file in (tmp_path / "in").iterdir():
        file.write_bytes(b"")
    data["input"]["allow_empty"] = True
    job, store, plan = small_output.begin(data)
    write_empty_table(job, store, plan)
    small_output.finish(job, store, plan)
    out = Path(store.root)
    assert damaged(out) == {}
    (out / EMPTY_TABLE).write_bytes(b"rubbish")
    layers, experts = out / "router/layers.parquet", out / "router/experts.parquet"
    experts.write_bytes(layers.read_bytes())
    layers.unlink()
    assert damaged(out) == {
        EMPTY_TABLE: "it was cut, or it is no file of mixtray",
        "router/experts.parquet": "it is not the sum of the parts' router tables",
        "router/layers.parquet": "it is missing",
    }


def test_files_of_others_in_router_are_no_tables(out: Path) -> None:
    (out / "router/_SUCCESS.crc").touch()
    assert damaged(out) == {}
    (out / "router/mine.parquet").touch()
    assert damaged(out) == {"router/mine.parquet": "it is none of this job's files"}
