"""Input that comes after a job had begun: warned about, shown, refused where it can't fit, and added."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from jobs.__main__ import app
from pipeline.config.job import JobConfig
from pipeline.durable.commit import remaining
from pipeline.durable.operations import execute
from pipeline.errors import ConfigError
from pipeline.output.write_report import write_report
from pipeline.preflight.doctor import examine
from pipeline.preflight.forecast import forecast
from pipeline.preflight.job import check_job
from pipeline.preflight.job_plan import load_or_make_plan, shards_to_do, warn_of_input
from pipeline.run import run
from pipeline.shards.make_plan import make_plan
from pipeline.storage.open_store import open_store

MakeConfig = Callable[..., JobConfig]


def add(folder: Path, name: str, rows: int) -> None:
    folder.mkdir(exist_ok=True)
    lines = [json.dumps({"ids": [1, 3 + row], "k": row}) + "\n" for row in range(rows)]
    (folder / name).write_text("".join(lines))


@pytest.fixture
def config(make_config: MakeConfig, tmp_path: Path) -> JobConfig:
    """A job of two shards that has not begun; shards have 8 rows."""
    add(tmp_path / "in", "monday.jsonl", 10)
    return make_config(
        [], input={"path": str(tmp_path / "in"), "keep": ["k"]}, generation={"max_new_tokens": 1}
    )


@pytest.mark.usefixtures("local_ray")
def test_only_what_came_since_is_run(
    config: JobConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = Path(config.output.path)
    assert run(config, extend=True).rows == 10
    first = {path: path.read_bytes() for path in (*out.glob("generations/*"), out / "_SUCCESS")}
    add(tmp_path / "in", "a-tuesday.jsonl", 20)

    assert run(config).rows_this_run == 0
    assert "--extend" in caplog.text
    shown = forecast(config)
    assert [(file.name, file.shards, file.rows) for file in shown.extension] == [("a-tuesday.jsonl", 3, 20)]
    assert (shown.shards, shown.shards_missing) == (2, 0)

    report = run(config, extend=True)
    assert (report.state, report.rows, report.rows_this_run) == ("done", 30, 20)
    assert {path: path.read_bytes() for path in first} == first
    table = pd.read_parquet(out / "generations")
    assert sorted(table["id"]) == sorted(
        [f"a-tuesday.jsonl#{row}" for row in range(20)] + [f"monday.jsonl#{row}" for row in range(10)]
    )
    success = json.loads((out / "_SUCCESS-001").read_bytes())
    assert (success["rows"], success["rows_by_status"], len(success["parts"])) == (
        20,
        {"ok": 20, "error": 0},
        3,
    )
    prefill = pd.read_parquet(out / "router/layers.parquet").query("phase == 'prefill' and layer == 0")
    assert prefill["tokens"].sum() == 60, "router tables are of both plans"

    gone = next(out.glob("generations/part-000003-*"))  # as if the run had been killed before this commit
    gone.unlink()
    (out / "_SUCCESS-001").unlink()
    assert run(config).rows_this_run == 8
    assert json.loads((out / "_SUCCESS-001").read_bytes())["rows"] == 20
    assert run(config, extend=True).rows_this_run == 0
    assert len(list(out.glob("_job/plan-*"))) == 2


def test_what_is_not_taken_is_told_by_run_plan_and_doctor(
    config: JobConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "in/README.md").touch()
    (tmp_path / "in/again.jsonl").symlink_to("monday.jsonl")
    told = (
        "README.md: of another ending than those that are read; "
        "again.jsonl (read as monday.jsonl): a second name of what is read once"
    )
    job, store = check_job(config), open_store(config.output.path)
    plan = load_or_make_plan(job, store, extending=False)
    assert [file.name for file in plan.files] == ["monday.jsonl"]
    warn_of_input(job, shards_to_do(job, store, plan)[1])
    assert caplog.messages == [f"not taken of input.path: {told}"]
    assert str(forecast(config).not_taken) == told
    found = next(one for one in examine(config) if (one.what, one.level) == ("input", "warning"))
    assert found.text == f"not taken: {told}"


def test_a_job_does_not_read_what_it_wrote_by_a_link_either(config: JobConfig, tmp_path: Path) -> None:
    job, store = check_job(config), open_store(config.output.path)
    load_or_make_plan(job, store, extending=False)
    add(tmp_path / "out/generations", "part-000000-feed.jsonl", 1)
    (tmp_path / "in/more").symlink_to(tmp_path / "out/generations")
    with pytest.raises(ConfigError, match=r"more/part-000000-feed\.jsonl lies in output\.path"):
        load_or_make_plan(job, store, extending=True)
    assert "lies in output.path" in str(forecast(config).not_to_be_added)


def test_a_run_that_does_not_know_of_the_extension_says_so(config: JobConfig, tmp_path: Path) -> None:
    """Another run extended the job while this one was at work: it ends well, but its job is not complete."""
    job, store = check_job(config), open_store(config.output.path)
    plan = load_or_make_plan(job, store, extending=False)
    add(tmp_path / "in", "tuesday.jsonl", 3)
    extended = load_or_make_plan(job, store, extending=True)
    assert [shard.ordinal for shard in extended.shards] == [0, 1, 2]
    assert execute(remaining(plan), store) == list(plan.shards)
    report, parts = write_report(job, store, "done", [], 0.0)
    assert (report.state, report.rows, report.rows_planned) == ("extended", 0, 13)
    assert len(parts) == 2


def test_the_plan_command_shows_what_an_extension_would_add(config: JobConfig, tmp_path: Path) -> None:
    load_or_make_plan(check_job(config), open_store(config.output.path), extending=False)
    add(tmp_path / "in", "tuesday.jsonl", 9)
    job_file = tmp_path / "job.yaml"
    job_file.write_text(yaml.safe_dump(config.model_dump(mode="json", exclude_unset=True)))
    shown = CliRunner().invoke(app, ["plan", str(job_file)])
    assert shown.exit_code == 0, shown.output
    assert "tuesday.jsonl; run --extend would add 2 shards, 9 rows" in shown.output
    assert "to run: 2 shards, 10 rows" in shown.output
    assert "--extend" in CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "200"}).output


def test_a_changed_file_leaves_no_extension(config: JobConfig, tmp_path: Path) -> None:
    job, store = check_job(config), open_store(config.output.path)
    load_or_make_plan(job, store, extending=False)
    add(tmp_path / "in", "monday.jsonl", 11)
    add(tmp_path / "in", "tuesday.jsonl", 3)
    with pytest.raises(ConfigError, match=r"changed: monday\.jsonl"):
        load_or_make_plan(job, store, extending=True)
    assert not store.exists("_job/plan-001.parquet")


def test_parquet_that_extends_a_job_of_parquet_must_have_its_types(config: JobConfig, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "monday.jsonl").unlink()

    def add_parquet(name: str, values: pa.Array) -> None:
        pq.write_table(pa.table({"ids": [[1]] * len(values), "k": values}), folder / name)

    add_parquet("a.parquet", pa.array([1, 2]))
    job, store = check_job(config), open_store(config.output.path)
    plan = load_or_make_plan(job, store, extending=False)
    add_parquet("b.parquet", pa.nulls(2))
    extended = make_plan(config.input, plan)
    assert [(shard.ordinal, shard.kept) for shard in extended.shards] == [(1, plan.shards[0].kept)]

    add_parquet("b.parquet", pa.array(["x"]))
    with pytest.raises(ConfigError, match=r"'k' is int64 in the files before but string in b\.parquet"):
        load_or_make_plan(job, store, extending=True)
    refused = forecast(config)
    assert refused.extension == []
    assert "b.parquet" in str(refused.not_to_be_added)
    assert not store.exists("_job/plan-001.parquet")


def test_whatever_extends_a_job_of_jsonl_gets_its_types(config: JobConfig, tmp_path: Path) -> None:
    """The values that do not fit are kept apart: see test_kept_columns."""
    plan = make_plan(config.input)
    table = pa.table({"ids": [[1]], "k": [1.5]})
    pq.write_table(table, tmp_path / "in" / "b.parquet")
    (tmp_path / "in" / "c.jsonl").write_text('{"ids": [1], "k": "x"}\n')
    extended = make_plan(config.input, plan)
    assert {shard.kept for shard in extended.shards} == {plan.shards[0].kept}
    assert [shard.name for shard in extended.shards] == ["b.parquet", "c.jsonl"]
