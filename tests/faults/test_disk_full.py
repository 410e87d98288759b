"""A disk that fills up: the job fails loudly, no part is there that is not whole, and no shard is blamed."""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest

from pipeline.config.job import JobConfig
from pipeline.errors import JobError
from pipeline.run import run
from tests.chaos.blame import lost, read_markers

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


def fill(disk: Path) -> None:
    """To the last byte, once a part is there and another shard runs: no note of a few bytes has room then."""
    while not (committed := shards_in(disk, "generations/*.parquet")) or not (
        shards_in(disk, "_job/attempts/*.json") - committed
    ):
        time.sleep(0.001)
    with suppress(OSError), open(disk / "rest", "wb", buffering=0) as rest:
        while True:
            rest.write(bytes(4096))


def shards_in(disk: Path, pattern: str) -> set[str]:
    """The ids of shards in the names of such files."""
    names = [path.stem.removeprefix("part-") for path in (disk / "out").glob(pattern)]
    return {part for name in names for part in name.split("-") if len(part) == 16}


def test_a_full_disk_fails_the_job_and_leaves_whole_parts_only(
    make_config: Callable[..., JobConfig], small_disk: Path
) -> None:
    rows = [{"ids": [1, 2 + i % 90], "blob": os.urandom(1500).hex()} for i in range(200)]
    config = make_config(
        rows,
        input={"keep": ["blob"], "shard_rows": 20},
        generation={"max_new_tokens": 40, "ignore_eos": True},  # so that a shard runs long enough
        output={"path": str(small_disk / "out")},
        errors={"max_attempts": 1},  # one death would make a shard suspected
    )
    threading.Thread(target=fill, args=(small_disk,), daemon=True).start()
    with pytest.raises(JobError, match="No space left on device"):
        run(config)
    parts = list((small_disk / "out/generations").glob("*"))
    assert 0 < len(parts) < 10
    assert len(pd.read_parquet(small_disk / "out/generations")) == 20 * len(parts)
    assert not list((small_disk / "out/_job/tmp").iterdir()), "nothing half-written is left behind"
    committed = shards_in(small_disk, "generations/*.parquet")
    markers = read_markers(small_disk / "out")
    assert [shard for shard in markers.keys() - committed if lost(markers[shard])], "no note of them had room"

    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    assert run(config).rows_by_status == {"ok": 200, "error": 0}
    alone = [m for told in read_markers(small_disk / "out").values() for m in told if m.alone and m.end]
    assert alone == [], "no shard was suspected"
