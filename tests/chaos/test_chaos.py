"""A short soak; `python -m tests.chaos --kills 1000` is the long one."""

import subprocess
import sys

import pytest

from tests.chaos.inputs import ROOT
from tests.chaos.soak import WEIGHTS


@pytest.mark.timeout(280)
def test_every_row_once_whatever_is_killed() -> None:
    options = ["--kills", "10", "--seed", "4", "--jobs", "1", "--rows", "400", "--pause", "0.3"]
    command = [sys.executable, "-m", "tests.chaos", *options]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    lines = (line.rsplit(maxsplit=1) for line in done.stdout.splitlines())
    figures = {name.strip(): int(value.replace(",", "")) for name, value in lines}
    assert figures["kills"] >= 10
    assert all(figures[f"killed: {kind}"] for kind in WEIGHTS)
    assert figures["rows"] >= 400
    assert figures["runs"] > figures["jobs"]
    assert figures["files"] >= 25
    assert figures["lost"] == figures["doubled"] == figures["wrong"] == figures["unreadable"] == 0
