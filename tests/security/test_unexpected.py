"""An exception that nobody foresaw and that quotes a row reaches neither the user nor Ray's logs."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
import ray
from ray import cloudpickle
from typer.testing import CliRunner

import pipeline.supervision.start_limit
from jobs.__main__ import app
from model.engine import Engine
from pipeline.checkpoints.location import locate
from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError, JobError, hide_row_text
from pipeline.preflight.doctor import examine
from pipeline.preflight.forecast import forecast
from pipeline.preflight.job import check_job
from pipeline.replicas.load_engine import ReplicaOptions
from pipeline.replicas.replica import Replica
from pipeline.row_requests import Outcome
from pipeline.run import run
from pipeline.shards.make_plan import make_plan

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers can't import a test
CANARY = "canary-quoted-51c2"
HERE = r"security/test_unexpected\.py:\d+"

MakeConfig = Callable[..., JobConfig]


def fail(*_: object, **__: object) -> NoReturn:
    raise ValueError(f"could not convert {CANARY}")


class FailsInARow(Replica):
    async def _run_rows(self, rows: Sequence[dict[str, Any]]) -> list[Outcome]:
        fail()


class FailsToStart(Replica):
    def load_engine(self, options: ReplicaOptions) -> Engine:
        fail()


class DiesAtItsStart(Replica):
    def __init__(self, options: ReplicaOptions) -> None:
        pipeline.supervision.start_limit._MOST_DEATHS = 1  # each costs some seconds
        super().__init__(options)

    def load_engine(self, options: ReplicaOptions) -> Engine:
        raise RuntimeError("the device does not answer")


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize(
    ("replica", "told", "logged"),
    [
        (FailsInARow, rf"shard \w+: ValueError, raised at .*{HERE}", b": ValueError, raised at "),
        (
            FailsToStart,
            rf"ValueError, raised at .*{HERE}",
            b"the replica can't start: JobError: ValueError, raised at ",
        ),
        (
            DiesAtItsStart,
            "a replica died 1 times",
            b"this replica ends: the device does not answer; RuntimeError, raised at ",
        ),
    ],
)
def test_a_bug_in_a_replica_ends_the_job_without_a_word_of_the_row(
    make_config: MakeConfig, replica: type[Replica], told: str, logged: bytes
) -> None:
    with pytest.raises(JobError, match=told) as raised:
        run(make_config([{"ids": [1, 2]}]), replica)
    assert CANARY not in str(raised.value)
    logs = Path(ray._private.worker._global_node.get_logs_dir_path())
    files = [path for path in logs.rglob("*") if path.is_file()]
    assert any(logged in path.read_bytes() for path in files), "there are logs, and they tell the kind"
    assert [path.name for path in files if CANARY.encode() in path.read_bytes()] == []


FAILING_ENGINE = f"""
import time
from types import SimpleNamespace
from pipeline.replicas.engine_thread import EngineThread

def step():
    raise ValueError("could not convert {CANARY}")

EngineThread(lambda: SimpleNamespace(idle=False, step=step), None)
time.sleep(60)
"""


def test_a_bug_in_the_engine_s_thread_ends_the_process_without_a_word_of_the_row(tmp_path: Path) -> None:
    program = tmp_path / "failing.py"
    program.write_text(FAILING_ENGINE)
    done = subprocess.run(
        [sys.executable, program], cwd=tmp_path, env={"PYTHONPATH": str(Path.cwd())}, capture_output=True
    )
    assert done.returncode == 1
    assert b"this replica ends: ValueError, raised at replicas/engine_thread.py:" in done.stderr
    assert b"failing.py:7" in done.stderr
    assert CANARY.encode() not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("command", "broken"),
    [("run", "pipeline.run.load_or_make_plan"), ("plan", "pipeline.preflight.forecast.plan_anew")],
)
def test_a_bug_in_the_driver_is_one_line_without_a_word_of_the_row(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, broken: str
) -> None:
    job_file = tmp_path / "job.yaml"
    job_file.write_text(make_config([{"ids": [1, 2]}]).model_dump_json(exclude_unset=True))
    monkeypatch.setattr(broken, fail)
    result = CliRunner().invoke(app, [command, str(job_file)])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ValueError, raised at ")
    assert f"security/test_unexpected.py:{fail.__code__.co_firstlineno + 1}; please report" in result.stderr
    assert len(result.output.splitlines()) == 1
    assert CANARY not in result.output


def test_a_bug_in_reading_is_told_alike_by_those_who_read_in_the_driver(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config([{"ids": [1, 2]}] * 2)
    monkeypatch.setattr("pipeline.rows.prepare.read_shard", fail)
    for reads in (
        lambda: check_job(config).preparation.prepared(make_plan(config.input).shards[0]),
        lambda: forecast(config),
    ):
        with pytest.raises(JobError, match=rf"^shard \w+: ValueError, raised at .*{HERE}$"):
            reads()


def test_a_check_of_the_doctor_that_breaks_is_a_finding_without_its_message(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for check in ("_versions", "_checkpoint", "_input", "_output", "_cluster", "replicas", "computing"):
        monkeypatch.setattr(f"pipeline.preflight.doctor.{check}", lambda *_: iter(()))
    monkeypatch.setattr("pipeline.preflight.doctor._free", fail)
    [finding] = examine(make_config([]))
    assert (finding.what, finding.level) == ("disk", "problem")
    assert finding.text.startswith("ValueError, raised at preflight/doctor.py:")
    assert CANARY not in finding.text


def test_a_checkpoint_s_store_that_fails_is_told_without_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pipeline.checkpoints.remote_folder.filesystem", lambda path: (SimpleNamespace(ls=fail), path)
    )
    with pytest.raises(ConfigError, match=r"s3://b/m: cannot be listed \(ValueError\)") as raised:
        locate("s3://b/m").whole()
    assert raised.value.__suppress_context__


def test_what_is_known_passes_and_what_is_not_loses_its_message_and_its_cause() -> None:
    for known in (JobError("told"), FileNotFoundError("told"), MemoryError()):
        with pytest.raises(type(known)) as raised, hide_row_text("s"):
            raise known
        assert raised.value is known
    with pytest.raises(JobError) as raised, hide_row_text("s"):
        asyncio.run(_fail())
    assert raised.value.__suppress_context__
    assert CANARY not in str(raised.value)


async def _fail() -> None:
    raise KeyError(CANARY)
