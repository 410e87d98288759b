"""The loader beside plain reads and transformers' loader, on a small checkpoint."""

import pytest
from typer.testing import CliRunner

from benchmarks.loading import WAYS, measure_loading
from jobs.__main__ import app
from tests.conftest import HFCheckpoint


@pytest.mark.parametrize("cold", [False, True])
def test_each_way_is_measured_in_each_round(checkpoint: HFCheckpoint, cold: bool) -> None:
    found = measure_loading(checkpoint.folder, cold, rounds=2)
    assert found.size == sum(file.stat().st_size for file in checkpoint.folder.glob("*.safetensors"))
    assert {way: len(times) for way, times in found.seconds.items()} == dict.fromkeys(WAYS, 2)
    assert all(found.speed(way) > 0 for way in WAYS)


def test_the_command_says_ratios_and_the_machine(checkpoint: HFCheckpoint) -> None:
    run = CliRunner().invoke(
        app, ["bench", "load", "--checkpoint", str(checkpoint.folder), "--repeats", "1", "--cold"]
    )
    assert run.exit_code == 0
    assert "cold, 1 rounds, 8 threads" in run.stdout
    assert "of the disk's own speed" in run.stdout
