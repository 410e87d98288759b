"""`python -m jobs doctor`: what is missing is named with what to do, on real clusters too."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.__main__ import app
from tests.ray_head import WITHOUT_TOKEN, free_port, ray_head, token, wait_for_port

ROOT = Path(__file__).parents[2]
DEMO = str(ROOT / "configs/demo/job.yaml")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dashboard_host", "auth", "sentence", "code"),
    [
        pytest.param("0.0.0.0", {}, "can run code here: start the cluster with", 2, id="open"),
        pytest.param("127.0.0.1", {}, "no dashboard answers beyond loopback", 0, id="loopback"),
        pytest.param("0.0.0.0", token(), "no dashboard answers beyond loopback", 0, id="token"),
    ],
)
def test_a_dashboard_open_to_others_is_a_problem(
    tmp_path: Path, dashboard_host: str, auth: Mapping[str, str], sentence: str, code: int
) -> None:
    auth = auth or WITHOUT_TOKEN
    with ray_head(auth, dashboard_host) as head:
        wait_for_port(head.dashboard)  # it is up last
        done = subprocess.run(
            [sys.executable, "-m", "jobs", "doctor", DEMO, "--set", f"output.path={tmp_path / 'out'}"],
            cwd=ROOT,
            env=head.environment | {"COLUMNS": "200"},
            text=True,
            capture_output=True,
            timeout=200,
            check=False,
        )
    assert sentence in done.stdout, done.stdout + done.stderr
    assert done.returncode == code, done.stdout + done.stderr
    assert ("warning cluster    no RAY_AUTH_MODE=token" in done.stdout) == ("RAY_AUTH_TOKEN" not in auth)


def test_a_cluster_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app,
        ["doctor", DEMO, "--set", f"output.path={tmp_path / 'out'}"],
        env={"RAY_ADDRESS": f"127.0.0.1:{free_port()}"},
    )
    assert result.exit_code == 2
    assert "problem cluster    cannot join 127.0.0.1:" in result.stdout


def test_a_local_ray_that_does_not_start_is_a_problem_with_its_cause(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run(
        [sys.executable, "-m", "jobs", "doctor", DEMO, "--set", f"output.path={tmp_path / 'out'}"],
        cwd=ROOT,
        env=environment | {"RAY_TMPDIR": "/proc/nowhere", "COLUMNS": "200"},
        text=True,
        capture_output=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    cause = "[Errno 2] No such file or directory: '/proc/nowhere'"
    assert f"problem cluster    Ray could not start here: {cause}\n" in done.stdout


def test_every_problem_is_found_at_once(tmp_path: Path, local_ray: None, s3_endpoint: str) -> None:
    overrides = ["model.path=/nowhere", "input.group_by=price", "output.path=s3://no-such-bucket/x"]
    sets = [part for override in overrides for part in ("--set", override)]
    result = CliRunner().invoke(app, ["doctor", DEMO, *sets], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert "problem checkpoint model.path: /nowhere: no such folder" in result.stdout
    assert "problem input      input.group_by: no column 'price'" in result.stdout
    assert "problem output     output.path: s3://no-such-bucket/x: cannot write there" in result.stdout
    assert "ok      cluster" in result.stdout
