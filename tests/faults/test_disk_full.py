"""A disk that fills up: the job fails loudly, and no part is there that is not whole."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from pipeline.config.job import JobConfig
from pipeline.errors import JobError
from pipeline.run import run

pytestmark = pytest.mark.usefixtures("local_ray")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk takes root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_fails_the_job_and_leaves_whole_parts_only(
    make_config: Callable[..., JobConfig], small_disk: Path
) -> None:
    rows = [{"ids": [1, 2 + i % 90], "blob": os.urandom(1500).hex()} for i in range(200)]
    config = make_config(
        rows,
        input={"keep": ["blob"], "shard_rows": 20},
        generation={"max_new_tokens": 1},
        output={"path": str(small_disk / "out")},
    )
    with pytest.raises(JobError, match="No space left on device"):
        run(config)
    parts = list((small_disk / "out/generations").glob("*"))
    assert 0 < len(parts) < 10
    assert len(pd.read_parquet(small_disk / "out/generations")) == 20 * len(parts)
    assert not list((small_disk / "out/_job/tmp").iterdir()), "nothing half-written is left behind"
