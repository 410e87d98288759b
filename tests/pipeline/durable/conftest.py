"""The output folder of a job."""

from pathlib import Path

import pytest

from pipeline.storage.open_store import open_store
from pipeline.storage.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "out")
