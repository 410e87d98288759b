"""Commands of a user without a home and without an entry in the system's list of users, as on OpenShift."""

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

ROOT = Path(__file__).parents[2]
USER = 12345


@pytest.fixture
def folder() -> Iterator[Path]:
    """One of that user's; pytest's own are closed to others."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("to become another user takes root and setpriv")
    with TemporaryDirectory(dir="/tmp", prefix="home-", ignore_cleanup_errors=True) as name:
        os.chown(name, USER, USER)
        yield Path(name)


def as_nobody(folder: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """`python -m jobs` as that user, who may read all files: the packages may lie where only root can."""
    become = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    read_all = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    return subprocess.run(
        [*become, *read_all, sys.executable, "-m", "jobs", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "RAY_TMPDIR": str(folder), "COLUMNS": "200"} | environment,
        text=True,
        capture_output=True,
        timeout=200,
    )


def demo(folder: Path) -> list[str]:
    return ["configs/demo/job.yaml", "--set", f"output.path={folder}/out"]


def test_a_job_runs_without_a_home(folder: Path) -> None:
    done = as_nobody(folder, "run", *demo(folder), "--set", "input.limit=20", HOME="/", CXX="/none")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "atplotlib" not in done.stderr
    assert json.loads((folder / "out/report.json").read_bytes())["rows"] == 20
    session = folder / f"mixtray-{USER}"
    assert (stat.S_IMODE(session.stat().st_mode), session.stat().st_uid) == (0o700, USER)
    assert (session / "ray/session_latest").exists()
    assert not list(folder.rglob("*auth_token*"))


@pytest.mark.slow
@pytest.mark.parametrize("environment", [{"HOME": "/"}, {"HOME": "/root"}, {}], ids=str)
def test_every_command_does(folder: Path, environment: dict[str, str]) -> None:
    for command in ("plan", "doctor", "run"):
        done = as_nobody(folder, command, *demo(folder), **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        assert "is not compiled" not in done.stdout + done.stderr
        if command == "doctor":
            assert "decode compiled" in done.stdout


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("model.path=~/models", "model.path: ~/models: there is no such home folder here"),
        ("output.path=~/out", "output.path: ~/out: there is no such home folder here"),
    ],
)
def test_a_home_that_is_not_there_is_told(folder: Path, override: str, sentence: str) -> None:
    done = as_nobody(folder, "plan", *demo(folder), "--set", override)
    assert (done.returncode, done.stderr.partition(sentence)[1]) == (2, sentence), done.stderr
