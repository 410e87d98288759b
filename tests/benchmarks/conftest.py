"""What several tests of the benchmarks use."""

from pathlib import Path

import pytest

from benchmarks.random_checkpoint import write_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint with random weights."""
    made = tmp_path_factory.mktemp("random")
    write_checkpoint(made, "tiny")
    return made
