"""What a run does with what it finds: its plan, its parts, and an input of which files are gone by now."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from jobs.__main__ import app
from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError, DamagedFile
from pipeline.preflight.forecast import forecast
from pipeline.preflight.job_plan import load_or_make_plan, shards_to_do, warn_of_input
from tests import small_output


@pytest.fixture
def data(tmp_path: Path) -> dict[str, Any]:
    """A job of three shards: two of a.jsonl, one of b.jsonl."""
    return small_output.job_data(tmp_path)


def begun(data: dict[str, Any], committed: slice) -> None:
    job, store, plan = small_output.begin(data)
    small_output.commit(job, store, list(plan.shards)[committed])


def to_do(data: dict[str, Any]) -> list[int]:
    """The ordinals of the shards that a run would compute."""
    job, store, plan = small_output.begin(data)
    missing, today = shards_to_do(job, store, plan)
    warn_of_input(job, today)
    for shard in missing:
        job.preparation.prepared(shard)
    return [shard.ordinal for shard in missing]


def remove(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()


@pytest.mark.parametrize("harm", ["removed", "changed", "one removed", "without a file"])
def test_a_finished_job_needs_no_input(
    data: dict[str, Any], tmp_path: Path, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    begun(data, slice(None))
    assert to_do(data) == []
    assert caplog.text == ""
    if harm == "removed":
        remove(tmp_path / "in")
    elif harm == "changed":
        (tmp_path / "in/a.jsonl").write_text("{}\n")
    elif harm == "one removed":
        (tmp_path / "in/b.jsonl").unlink()
    else:
        for file in (tmp_path / "in").iterdir():
            file.unlink()
    assert to_do(data) == []
    assert "input files are missing or have changed since this job began (" in caplog.text
    assert forecast(JobConfig.model_validate(data)).shards_missing == 0


def test_only_files_with_shards_to_do_are_needed(data: dict[str, Any], tmp_path: Path) -> None:
    begun(data, slice(2))
    a, b = tmp_path / "in/a.jsonl", tmp_path / "in/b.jsonl"
    whole = b.read_bytes()
    a.unlink()
    assert to_do(data) == [2]
    a.write_text("other rows\n")
    assert to_do(data) == [2]
    b.write_bytes(whole + b"{}\n")
    with pytest.raises(ConfigError, match=r"not what this job began with \(changed: b\.jsonl\); put"):
        to_do(data)
    b.unlink()
    with pytest.raises(ConfigError, match=r"not what this job began with \(missing: b\.jsonl\); put"):
        to_do(data)
    remove(tmp_path / "in")
    with pytest.raises(ConfigError, match="no such file or folder"):
        to_do(data)


def test_files_may_go_while_others_are_added(data: dict[str, Any], tmp_path: Path) -> None:
    begun(data, slice(None))
    (tmp_path / "in/a.jsonl").unlink()
    (tmp_path / "in/c.jsonl").write_text('{"text": "new"}\n')
    job, store, _ = small_output.begin(data)
    plan = load_or_make_plan(job, store, extending=True)
    assert [shard.name for shard in shards_to_do(job, store, plan)[0]] == ["c.jsonl"]
    (tmp_path / "in/b.jsonl").write_text('{"text": "more"}\n')
    with pytest.raises(ConfigError, match=r"changed: b\.jsonl\); --extend adds new files"):
        load_or_make_plan(job, store, extending=True)
    remove(tmp_path / "in")
    with pytest.raises(ConfigError, match="no such file or folder"):
        load_or_make_plan(job, store, extending=True)


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_a_file_without_rows_is_no_newer_file(
    data: dict[str, Any], tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """On the first run of a job without a row, whose plan names no file."""
    (tmp_path / "in/a.jsonl").write_text(text)
    (tmp_path / "in/b.jsonl").unlink()
    data["input"]["allow_empty"] = True
    assert to_do(data) == []
    if text:  # it can't be told from one that has got rows
        assert (
            "came after this job was planned, or that had no row then, are not part of it (1, a.jso"
            in caplog.text
        )
    else:
        assert caplog.text == ""
    (tmp_path / "in/a.jsonl").write_text('{"text": "late"}\n')
    assert to_do(data) == []
    assert "(1, a.jsonl for one); run it with --extend to add those that have rows" in caplog.text


@pytest.mark.parametrize("lost", [["spec.json"], ["plan-000.parquet"], ["spec.json", "plan-000.parquet"]])
def test_a_lost_plan_and_a_lost_spec_are_written_anew(
    data: dict[str, Any], tmp_path: Path, lost: list[str]
) -> None:
    begun(data, slice(2))
    files = [tmp_path / "out/_job" / name for name in lost]
    before = [file.read_bytes() for file in files]
    for file in files:
        file.unlink()
    assert to_do(data) == [2]
    assert [file.read_bytes() for file in files] == before


def test_a_lost_spec_needs_no_input(data: dict[str, Any], tmp_path: Path) -> None:
    begun(data, slice(None))
    (tmp_path / "out/_job/spec.json").unlink()
    remove(tmp_path / "in")
    assert to_do(data) == []


def test_parts_and_plans_of_other_settings_are_not_adopted(data: dict[str, Any], tmp_path: Path) -> None:
    begun(data, slice(2))
    other = data | {"label": {"choices": ["on", "off"]}}
    (tmp_path / "out/_job/spec.json").unlink()
    with pytest.raises(ConfigError, match=r"plan-000\.parquet there is of another job, or of other settings"):
        small_output.begin(other)
    (tmp_path / "out/_job/plan-000.parquet").unlink()
    for start in (small_output.begin, lambda data: forecast(JobConfig.model_validate(data))):
        with pytest.raises(
            ConfigError, match=r"generations holds files \(2\), but there is no _job/plan-000"
        ):
            start(other)
    assert not (tmp_path / "out/_job/spec.json").exists(), "it is left as it was"


@pytest.mark.parametrize("new", ["aa.jsonl", "c.jsonl"])
def test_a_lost_plan_of_a_job_that_was_extended_is_not_guessed(
    data: dict[str, Any], tmp_path: Path, new: str
) -> None:
    """The files of both plans are there now, and no one knows which came first."""
    begun(data, slice(None))
    (tmp_path / "in" / new).write_text('{"text": "new"}\n')
    job, store, _ = small_output.begin(data)
    small_output.commit(job, store, load_or_make_plan(job, store, extending=True).shards[3:])
    (tmp_path / "out/_job/plan-000.parquet").unlink()
    with pytest.raises(DamagedFile, match=r"plan-000\.parquet is damaged \(it is missing, and there"):
        small_output.begin(data)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "foreign": lambda data: b"hello",
    "one bit": lambda data: data[:300] + bytes([data[300] ^ 4]) + data[301:],
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["spec.json", "plan-000.parquet"])
@pytest.mark.parametrize("command", ["run", "plan"])
def test_the_command_line_names_a_damaged_file_and_exits_2(
    data: dict[str, Any], tmp_path: Path, name: str, damage: str, command: str
) -> None:
    begun(data, slice(2))
    file = tmp_path / "out/_job" / name
    file.write_bytes(DAMAGE[damage](file.read_bytes()))
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(data))
    result = CliRunner().invoke(app, [command, str(tmp_path / "job.yaml")])
    assert result.exit_code == 2, result.output
    [line] = result.stderr.splitlines()
    assert line.startswith(f"error: output.path: _job/{name} is damaged (it")
    assert "put it back from a copy of the folder; without one, " in line


def test_a_damaged_later_plan_is_named(data: dict[str, Any], tmp_path: Path) -> None:
    begun(data, slice(None))
    (tmp_path / "out/_job/plan-001.parquet").write_bytes(b"")
    with pytest.raises(DamagedFile, match=r"_job/plan-001\.parquet is damaged \(it is empty\)"):
        small_output.begin(data)


def test_a_damaged_description_of_the_machine_is_found_before_anything_loads(
    data: dict[str, Any], tmp_path: Path
) -> None:
    data["engine"] = {"deterministic": "shard"}
    begun(data, slice(2))
    (tmp_path / "out/_job/machine.json").write_bytes(b"{")
    with pytest.raises(DamagedFile, match=r"machine\.json"):
        to_do(data)
