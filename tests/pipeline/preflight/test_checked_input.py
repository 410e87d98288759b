"""What is required of an input: doctor, plan and run say the same of the same files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError
from pipeline.preflight.checked_input import check_input
from pipeline.preflight.doctor import examine
from pipeline.preflight.forecast import forecast
from pipeline.preflight.job import check_job
from pipeline.preflight.job_plan import load_or_make_plan, shards_to_do
from pipeline.storage.open_store import open_store
from tests import small_output

ROW = '{"text": "Hi"}\n'


def run(config: JobConfig) -> None:
    """As far as it says what is wrong with the input."""
    job, store = check_job(config), open_store(config.output.path)
    shards_to_do(job, store, load_or_make_plan(job, store, extending=False))


def what_doctor_says(config: JobConfig) -> dict[str, list[tuple[str, str]]]:
    """Findings on the input and the output, whose checks come before the others."""
    said: dict[str, list[tuple[str, str]]] = {"input": [], "output": []}
    for finding in examine(config):
        if finding.what == "disk":
            break
        if finding.what in said:
            said[finding.what].append((finding.level, finding.text))
    return said


@pytest.fixture
def data(tmp_path: Path) -> dict[str, Any]:
    given = small_output.job_data(tmp_path)
    for name in small_output.FILES:
        (tmp_path / "in" / name).unlink()
    return given


def own_output(folder: Path, data: dict[str, Any]) -> None:
    (folder / "out/generations").mkdir(parents=True)
    (folder / "out/generations/x.jsonl").write_text(ROW)
    (folder / "in/l").symlink_to("../out/generations")


def no_row(folder: Path, data: dict[str, Any]) -> None:
    (folder / "in/a.jsonl").write_text("\n\n")


def no_column(folder: Path, data: dict[str, Any]) -> None:
    (folder / "in/a.jsonl").write_text(ROW)
    data["input"]["prompt"] = {"column": "other"}


def taken_name(folder: Path, data: dict[str, Any]) -> None:
    (folder / "in/a.jsonl").write_text('{"text": "Hi", "status": 1}\n')
    data["input"]["keep"] = "*"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (own_output, r"l/x\.jsonl lies in output\.path"),
        (no_row, "none of its files has a row"),
        (no_column, "no column 'other'"),
        (taken_name, "status is a column of the output already"),
    ],
)
def test_what_a_run_refuses_doctor_and_plan_refuse_too(
    tmp_path: Path, data: dict[str, Any], make: Callable[[Path, dict[str, Any]], None], message: str
) -> None:
    make(tmp_path, data)
    config = JobConfig.model_validate(data)
    said = []
    for command in (run, forecast, check_input):
        with pytest.raises(ConfigError, match=message) as raised:
            command(config)
        said.append(str(raised.value))
    assert len(set(said)) == 1
    assert what_doctor_says(config)["input"] == [("problem", said[0])]
    assert not (tmp_path / "out/_job/spec.json").exists()


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (None, "no file, which input.allow_empty allows: a run would be done at once"),
        ("\n\n", "1 files of 2 bytes, none with a row, which input.allow_empty allows: a run would be done"),
        (ROW, "1 files of 15 bytes, with all columns that the job names"),
    ],
)
def test_doctor_tells_an_empty_job_from_one_with_rows(
    tmp_path: Path, data: dict[str, Any], file: str | None, text: str
) -> None:
    if file is not None:
        (tmp_path / "in/a.jsonl").write_text(file)
    data["input"]["allow_empty"] = True
    [(level, said)] = what_doctor_says(JobConfig.model_validate(data))["input"]
    assert level == "ok"
    assert said.startswith(text)


def test_a_job_that_began_without_a_row_needs_allow_empty_or_extend(
    tmp_path: Path, data: dict[str, Any]
) -> None:
    data["input"]["allow_empty"] = True
    run(JobConfig.model_validate(data))
    (tmp_path / "in/a.jsonl").write_text(ROW)
    allowed = JobConfig.model_validate(data)
    run(allowed)
    [added] = forecast(allowed).extension
    assert added.name == "a.jsonl"
    [(level, text)] = what_doctor_says(allowed)["output"]
    assert (level, text.rpartition("; ")[2]) == (
        "ok",
        "this job began here and will go on, with 0 shards to do",
    )
    del data["input"]["allow_empty"]
    config = JobConfig.model_validate(data)
    for command in (run, forecast):
        with pytest.raises(ConfigError, match="the job that began here has no row: run it with --extend"):
            command(config)
    [(level, text)] = what_doctor_says(config)["output"]
    assert level == "problem"
    assert "the job that began here has no row" in text


def test_doctor_says_of_a_job_that_began_what_its_run_would(tmp_path: Path, data: dict[str, Any]) -> None:
    (tmp_path / "in/a.jsonl").write_text(ROW)
    config = JobConfig.model_validate(data)
    run(config)
    assert what_doctor_says(config)["output"][0][1].endswith("will go on, with 1 shards to do")
    (tmp_path / "in/a.jsonl").write_text(ROW * 2)
    with pytest.raises(ConfigError, match="not what this job began with") as raised:
        run(config)
    assert what_doctor_says(config)["output"] == [("problem", str(raised.value))]


def test_a_refused_extension_is_shown(tmp_path: Path, data: dict[str, Any]) -> None:
    """By the same checks, before anything is planned."""
    (tmp_path / "in/a.jsonl").write_text(ROW)
    config = JobConfig.model_validate(data)
    run(config)
    own_output(tmp_path, data)
    assert "l/x.jsonl lies in output.path" in str(forecast(config).not_to_be_added)
