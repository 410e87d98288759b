"""The command line as a user meets it: real processes, exit codes, kills and second runs."""

import json
import signal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from jobs.__main__ import app
from pipeline.storage.urls import filesystem
from tests.jobs.running_job import RunningJob
from tests.ray_head import Head

ROOT = Path(__file__).parents[2]
ROWS = 200


@pytest.mark.slow  # the short soak of tests/chaos kills drivers too
@pytest.mark.parametrize(("kills", "at_once"), [((2,), 1), ((0, 2), 2)])
def test_killed_at_any_moment_every_row_comes_out_once(
    job_file: Path, cluster: Head, kills: tuple[int, ...], at_once: int
) -> None:
    """Killed as soon as there are so many parts; then one run does the rest, or two do."""
    out = job_file.parent / "out"

    def parts() -> list[Path]:
        return list((out / "generations").glob("*.parquet"))

    for at_least in kills:
        job = RunningJob(job_file, environment=cluster.environment)
        job.wait_for(lambda n=at_least: len(parts()) >= n and (out / "_job/spec.json").exists())
        job.process.send_signal(signal.SIGKILL)
        job.process.communicate()
        if parts():
            seen = pd.read_parquet(out / "generations")  # whole shards only, at any time
            assert len(seen) == 8 * len(parts())
    before = {part: part.read_bytes() for part in parts()}
    assert 2 <= len(before) < ROWS // 8

    last = [RunningJob(job_file, environment=cluster.environment) for _ in range(at_once)]
    outputs = [job.end()[0] for job in last]
    table = pd.read_parquet(out / "generations")
    assert sorted(table["row"]) == list(range(ROWS))
    assert table["id"].is_unique
    assert (table["status"] == "ok").all()
    assert all(part.read_bytes() == content for part, content in before.items()), "parts never change"
    assert all(f"{ROWS} of {ROWS}" in output for output in outputs)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["s3", "gcs"])
def test_rows_go_to_an_object_store_as_to_a_folder(
    job_file: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(f"{kind}_url")
    job = RunningJob(job_file, f"output.path={url}", "input.shard_rows=50", "generation.max_new_tokens=2")
    _, errors = job.end()
    fs, out = filesystem(url)
    assert sorted(pd.read_parquet(f"{out}/generations", filesystem=fs)["row"]) == list(range(ROWS))
    assert len(pd.read_parquet(f"{out}/router/experts.parquet", filesystem=fs)) > 0
    assert "canary" not in errors


@pytest.mark.slow
def test_tasks_that_the_memory_monitor_kills_every_time_end_the_job(job_file: Path) -> None:
    """The machine passes for full from the beginning."""
    full = {"RAY_memory_usage_threshold": "0.001", "RAY_task_oom_retry_delay_base_ms": "1"}
    _, errors = RunningJob(job_file, environment=full).end(exit_code=1)
    assert "was killed again and again, too little memory?" in errors


@pytest.mark.slow
def test_a_cluster_that_cannot_be_reached_ends_the_job_with_one_line(job_file: Path) -> None:
    _, errors = RunningJob(job_file, environment={"RAY_ADDRESS": "nowhere://head"}).end(exit_code=1)
    assert "error: Ray could not reach its cluster (RAY_ADDRESS): " in errors
    assert "Traceback" not in errors


WRONG: dict[str, tuple[list[str], str]] = {
    "unknown key": (["engine.relicas=2"], "engine.relicas: unknown key"),
    "unknown section": (["engin.replicas=2"], "engin: unknown key"),
    "bad value": (["generation.temperature=-1"], "generation.temperature"),
    "missing input": (["input.path=/nowhere/x.jsonl"], "no such file"),
    "missing column": (["input.prompt.token_ids=id"], "no column 'id'"),
    "missing checkpoint": (["model.path=/nowhere"], "no such folder"),
    "missing group column": (["input.group_by=kind"], "no column 'kind'"),
    "reserved name": (["input.keep=[text]"], "text is a column of the output"),
    "indivisible ranks": (["model.tensor_parallel=3"], "tensor_parallel must divide"),
    "a label without choices": (["task=label"], "label"),
    "empty output": (["output.path=''"], "output.path: is empty"),
    "empty input": (["input.path=''"], "is empty: name a file or folder"),
    "half a character": (['output.path="\\ud83d"'], "is not UTF-8"),
    "process memory": (["output.path=memory://x"], "one process"),
    "not key=value": (["replicas"], "section.key=value"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_bad_job_exits_2_with_one_sentence_and_nothing_is_written(job_file: Path, name: str) -> None:
    """`plan` says the same sentence."""
    overrides, sentence = WRONG[name]
    sets = [part for override in overrides for part in ("--set", override)]
    result = CliRunner().invoke(app, ["run", str(job_file), *sets])
    assert result.exit_code == 2, result.output
    assert sentence in result.stderr
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (job_file.parent / "out").exists()
    planned = CliRunner().invoke(app, ["plan", str(job_file), *sets])
    assert (planned.exit_code, planned.stderr) == (2, result.stderr)


def test_a_checkpoint_with_other_weights_than_its_config_exits_2(job_file: Path, checkpoint: Any) -> None:
    broken = job_file.parent / "broken"
    broken.mkdir()
    for file in checkpoint.folder.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 2}))
    result = CliRunner().invoke(app, ["run", str(job_file), "--set", f"model.path={broken}"])
    assert result.exit_code == 2
    assert "unexpected model.layers.2." in result.stderr


def test_another_job_in_the_same_folder_is_refused_with_what_differs(job_file: Path) -> None:
    (job_file.parent / "rows.jsonl").write_text("")
    given = [str(job_file), "--set", "input.allow_empty=true"]
    assert CliRunner().invoke(app, ["run", *given]).exit_code == 0
    for command in ("run", "plan"):
        result = CliRunner().invoke(app, [command, *given, "--set", "generation.max_new_tokens=13"])
        assert result.exit_code == 2
        assert "generation.max_new_tokens: was 12, is 13" in result.stderr


@pytest.mark.parametrize("command", [["run"], ["run", "--extend"], ["plan"], ["doctor"]], ids=" ".join)
def test_a_folder_in_an_older_format_says_so_and_what_to_do(job_file: Path, command: list[str]) -> None:
    spec = job_file.parent / "out" / "_job" / "spec.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"format_version": 2, "config": {"job": "x"}}))
    result = CliRunner().invoke(app, [command[0], str(job_file), *command[1:]], env={"COLUMNS": "400"})
    assert result.exit_code == 2, result.output
    said = " ".join(result.output.split())
    assert "older version of mixtray wrote this folder, in format 2; this one writes format 5" in said
    assert "to run it anew, give it another output.path" in said


def test_parts_without_their_plan_are_refused(job_file: Path) -> None:
    parts = job_file.parent / "out" / "generations"
    parts.mkdir(parents=True)
    (parts / "part-000000-feed.parquet").touch()
    for command in ("run", "plan"):
        result = CliRunner().invoke(app, [command, str(job_file)])
        assert result.exit_code == 2
        assert "generations holds files (1), but there is no _job" in result.stderr


def test_plan_shows_what_would_run_and_writes_nothing(job_file: Path) -> None:
    result = CliRunner().invoke(app, ["plan", str(job_file)])
    assert result.exit_code == 0, result.output
    assert "rows.jsonl" in result.stdout
    assert "25 shards, 200 rows" in result.stdout
    assert "prompt tokens of 200 rows" in result.stdout
    assert not (job_file.parent / "out").exists()
    assert "prompt of rows.jsonl, row 0: " in result.stdout
    assert "its answer ends after 12 tokens" in result.stdout
    for count in (0, 2):
        shown = CliRunner().invoke(app, ["plan", str(job_file), "--show", str(count)]).stdout
        assert shown.count("prompt of rows.jsonl") == count


def test_plan_exits_2_if_each_row_that_it_looked_at_is_an_error(job_file: Path) -> None:
    rows = job_file.parent / "rows.jsonl"
    rows.write_text('{"ids": []}\n[bold]\n{"ids": []}\n')
    result = CliRunner().invoke(app, ["plan", str(job_file), "--set", "output.path=o"], env={"COLUMNS": "60"})
    assert "errors among the 3 rows looked at:" in result.stdout, result.output
    assert result.exit_code == 2
    assert result.stderr == "error: each of the 3 rows looked at is an error: mend what is said above\n"
    assert "1 MALFORMED_JSON (rows.jsonl, row 1): not valid JSON" in result.stdout
    rows.write_text(rows.read_text() + '{"ids": [5]}\n')
    one_of_four = CliRunner().invoke(app, ["plan", str(job_file)])
    assert one_of_four.exit_code == 0
    assert "prompt tokens of 1 rows (mean 1)" in one_of_four.stdout


def test_help_names_the_exit_codes_and_the_options() -> None:
    text = CliRunner().invoke(app, ["run", "--help"]).stdout
    assert "--set" in text
    assert "75" in text
    listed = CliRunner().invoke(app, ["--help"]).stdout
    assert "run" in listed
    assert "plan" in listed
