"""The whole job is measured on the same rows as the engine."""

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmarks.random_checkpoint import write_checkpoint
from benchmarks.whole_job import JobTask, run_job
from benchmarks.workloads import WORKLOADS
from jobs.__main__ import app


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "random"
    folder.mkdir()
    write_checkpoint(folder, "tiny")
    return folder


@pytest.mark.slow
def test_a_job_runs_the_workload_and_its_seconds_are_apart(
    checkpoint: Path, tmp_path: Path, local_ray: None
) -> None:
    result = run_job(JobTask(str(checkpoint), "lognormal", 24, replicas=1, threads=1), tmp_path)
    assert result.tokens == sum(WORKLOADS["lognormal"](256, 24).new_tokens)
    assert 0 < result.running_seconds < result.seconds
    table = pd.read_parquet(tmp_path / "out/generations")
    assert (table["status"] == "ok").all()
    assert (table["finish_reason"] == "length").all()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_command_compares_all_ways(checkpoint: Path, tmp_path: Path) -> None:
    output = tmp_path / "report.json"
    arguments = ["--checkpoint", checkpoint, "--rows", 16, "--cores", 2, "--repeats", 1, "--output", output]
    done = CliRunner().invoke(app, ["bench", "job", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    report = json.loads(output.read_text())
    rates = {name: rate["running"] for name, rate in report["rates"].items()}
    assert len(rates) == 6
    assert report["ratios"]["a replica a core to one of 1 thread"] == pytest.approx(
        rates["job"] / rates["job, 1 thread"]
    )
    assert "the job's rate to its engine's" in done.output


def test_only_the_ways_of_a_ratio_are_measured(checkpoint: Path, tmp_path: Path) -> None:
    output = tmp_path / "report.json"
    arguments = ["--checkpoint", checkpoint, "--rows", 4, "--repeats", 1, "--output", output]
    only = ["--only", "statistics"]
    done = CliRunner().invoke(app, ["bench", "job", *map(str, arguments), *only])
    assert done.exit_code == 0, done.output
    report = json.loads(output.read_text())
    assert list(report["rates"]) == ["engine", "engine, no statistics"]
    assert list(report["ratios"]) == ["the engine's rate with statistics to without"]


def test_a_ratio_that_is_not_measured_is_told(checkpoint: Path) -> None:
    done = CliRunner().invoke(app, ["bench", "job", "--checkpoint", str(checkpoint), "--only", "speed"])
    assert done.exit_code == 2
    assert "no ratio has 'speed' in its name" in done.output
