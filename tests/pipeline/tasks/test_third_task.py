"""A task of another package (third/next_word.py) runs like mixtray's own, by its entry point alone."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

ROOT = Path(__file__).parents[3]
# What `pip install` of the package would put on the path: the module, and the metadata with its entry point.
INSTALLED = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).with_name("third")), str(ROOT)])}
Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory, checkpoint: Any) -> Path:
    folder = tmp_path_factory.mktemp("third")
    prompts = [[1, 733, 16289], [1, 5, 6, 7], [1, 40]]
    lines = [*(json.dumps({"ids": ids, "n": i}) for i, ids in enumerate(prompts)), "no JSON"]
    (folder / "rows.jsonl").write_text("\n".join(lines))
    config = {
        "job": "third",
        "task": "next_word",
        "model": {"path": str(checkpoint.folder)},
        "input": {"path": str(folder / "rows.jsonl"), "prompt": {"token_ids": "ids"}, "shard_rows": 2},
        "next_word": {"sure_above": 0.0001},
        "engine": {"replicas": 1},
        "output": {"path": str(folder / "out")},
        "errors": {"max_error_rate": 1.0},
    }
    (folder / "job.yaml").write_text(yaml.safe_dump(config))
    return folder / "job.yaml"


def run(
    command: str, job: Path, *options: str, environment: dict[str, str]
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "jobs", command, str(job), *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_job_of_it_runs_and_is_refused_with_other_settings(job: Path, checkpoint: Any) -> None:
    done = run("run", job, environment=INSTALLED)
    assert done.returncode == 0, done.stderr
    table = pd.read_parquet(job.with_name("out") / "generations").sort_values("row")
    assert f"{table['sure'].sum()} of 4 above 0%" in done.stdout
    table = pd.read_parquet(job.with_name("out") / "generations").sort_values("row")
    assert list(table["error_code"].fillna("")) == ["", "", "", "MALFORMED_JSON"]
    for _, row in table.iloc[:3].iterrows():
        prompt = json.loads(job.with_name("rows.jsonl").read_text().splitlines()[row["row"]])["ids"]
        [token] = checkpoint.generate(prompt, 1)
        [logprob] = checkpoint.logprobs(prompt, [token])
        assert row["next_word_prob"] == pytest.approx(math.exp(logprob), rel=1e-4)
        assert row["sure"] == (row["next_word_prob"] > 0.0001)
    assert pd.isna(table["next_word"].iloc[3])
    other = run("plan", job, "--set", "next_word.sure_above=0.9", environment=INSTALLED)
    assert other.returncode == 2
    assert "next_word.sure_above: was 0.0001, is 0.9" in other.stderr


def test_without_the_package_its_name_is_not_known(job: Path) -> None:
    refused = run("plan", job, environment={**os.environ, "PYTHONPATH": str(ROOT)})
    assert refused.returncode == 2
    assert "task: Input should be 'generate', 'label', " in refused.stderr
    assert ", got 'next_word'" in refused.stderr


def test_jobs_of_other_tasks_stay_the_same_jobs(tmp_path: Path) -> None:
    """Their specs, and so their shards' ids, do not depend on which packages are installed."""
    program = (
        "from pipeline.config.job import JobConfig;"
        "from pipeline.durable.job_spec import spec_digest;"
        "from pipeline.preflight.make_spec import make_spec;"
        "print(spec_digest(make_spec(JobConfig.load('configs/demo/job.yaml'), '', '')))"
    )
    digests = {
        subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, env=environment, text=True)
        for environment in (INSTALLED, {**os.environ, "PYTHONPATH": str(ROOT)})
    }
    assert len(digests) == 1
