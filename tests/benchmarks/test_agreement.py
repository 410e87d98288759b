"""How near 8 bits and bfloat16 come to float32, on the demo's rows."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.agreement import WAYS, agreement
from jobs.__main__ import app
from jobs.bench.agreement import COMPARED
from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError

DEMO = Path(__file__).parents[2] / "configs/demo"


def test_the_command_takes_every_way() -> None:
    assert {"float32", *COMPARED} == {*WAYS}


@pytest.mark.slow
def test_nearly_all_labels_stay_the_same() -> None:
    job = JobConfig.load(DEMO / "job.yaml", [f"input.path={DEMO / 'tickets/2026-01.jsonl'}"])
    found = agreement(job, threads=1)
    assert found.rows == 400
    assert found.same >= 0.985 * found.rows
    assert found.mean_difference is not None
    assert 0 < found.mean_difference < 0.01, "the two ways are two"


def test_probabilities_in_bfloat16_are_those_of_float32_to_a_hundredth() -> None:
    job = JobConfig.load(
        DEMO / "job.yaml", [f"input.path={DEMO / 'tickets/2026-01.jsonl'}", "input.limit=150"]
    )
    found = agreement(job, "bfloat16", threads=1)
    assert found.rows == 150
    assert found.near is not None
    assert found.near >= 0.97 * found.rows
    assert found.same >= 0.98 * found.rows
    assert found.mean_difference is not None
    assert 0 < found.mean_difference < 0.01, "the two ways are two"


def test_the_command_says_how_many_replies_stay_the_same() -> None:
    questions = DEMO / "questions/math.jsonl"
    arguments = [
        "bench",
        "agreement",
        str(DEMO / "replies.yaml"),
        "--set",
        f"input.path={questions}",
        "--threads",
        "1",
    ]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "of 40 rows have the same tokens" in done.output
    assert CliRunner().invoke(app, ["bench", "agreement", "nowhere.yaml"]).exit_code == 2


def test_no_row_with_a_prompt_is_nothing_to_compare(tmp_path: Path) -> None:
    row = {"id": "1", "question": "", "answer": "", "language": "en"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    job = JobConfig.load(
        DEMO / "replies.yaml", [f"input.path={tmp_path / 'rows.jsonl'}", "input.prompt={column: question}"]
    )
    with pytest.raises(ConfigError, match="no row has a prompt"):
        agreement(job)
