"""Short soaks; `python -m tests.chaos --kills 1000` is the long one."""

import subprocess
import sys

import pytest

from tests.chaos import soak, stops
from tests.chaos.inputs import ROOT


def figures_of(*options: str) -> dict[str, int]:
    """Of a soak without a violation; its last line has all counts."""
    command = [sys.executable, "-m", "tests.chaos", *options]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    *lines, last = done.stdout.splitlines()
    assert last.endswith("rows: 0 lost, 0 doubled, 0 wrong, 0 wrongly blamed")
    told = (line.rsplit(maxsplit=1) for line in lines if not line.endswith(":"))
    return {name.strip(): int(value.replace(",", "")) for name, value in told}


@pytest.mark.timeout(280)
def test_every_row_once_whatever_is_killed() -> None:
    options = ["--kills", "10", "--seed", "4", "--jobs", "1", "--rows", "400", "--pause", "0.3"]
    figures = figures_of("--only", "cluster", *options)
    assert figures["kills"] >= 10
    assert all(figures[f"killed: {kind}"] for kind in soak.WEIGHTS)
    assert figures["rows"] >= 400
    assert figures["runs"] > figures["jobs"]
    assert figures["files"] >= 25
    assert figures["lost"] == figures["doubled"] == figures["wrong"] == figures["unreadable"] == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_row_once_and_nobody_blamed_however_all_is_stopped() -> None:
    figures = figures_of("--only", "stops", "--kills", "20", "--seed", "1")
    assert figures["kills"] >= 20
    assert all(figures[f"killed: {kind}"] for kind in stops.WEIGHTS)
