"""Everything that runs a job is lost at once, its driver and its Ray too: no shard is to blame for that."""

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.chaos.blame import lost, read_markers, wrongly_blamed
from tests.chaos.inputs import make_job
from tests.chaos.oracle import judge
from tests.chaos.own_ray import OwnRay

MODULE = "tests.chaos.own_driver"  # a network's place is taken by a sum


@pytest.fixture
def place() -> Iterator[OwnRay]:
    own_ray = OwnRay(Path(mkdtemp(prefix="own-")) / "0")  # paths of sockets may be 107 characters long
    yield own_ray
    own_ray.close()


def test_two_losses_of_everything_make_no_shard_suspected(place: OwnRay, tmp_path: Path) -> None:
    job = make_job(tmp_path / "job", 1, 640, broken=0, max_attempts=3)
    for run in (1, 2):
        before = len(list(job.output.glob("_job/attempts/*")))
        driver = place.start_driver(MODULE, job.config, job.log)
        while len(list(job.output.glob("_job/attempts/*"))) < before + 10:
            assert driver.poll() is None, job.log.read_text()
            time.sleep(0.01)
        assert place.signal_all(signal.SIGKILL, random.Random(run)) > 5
        place.end_all()
    twice = [shard for shard, told in read_markers(job.output).items() if len(lost(told)) == 2]
    assert twice, "each would be suspected if these were deaths"

    driver = place.start_driver(MODULE, job.config, job.log)
    while (code := driver.poll()) is None:
        time.sleep(0.05)
    assert code == 0, job.log.read_text()
    assert wrongly_blamed(job.output, set(), max_attempts=3) == []
    alone = [m for told in read_markers(job.output).values() for m in told if m.alone and m.end]
    assert alone == [], "no shard was suspected"
    verdict = judge(job.folder / "in", job.output.glob("generations/*.parquet"))
    assert (verdict.rows, verdict.crashed, verdict.examples) == (640, 0, [])
