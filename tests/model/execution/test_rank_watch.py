"""A child's end is noticed by whoever waits for it. Ranks that compute with gloo: test_ranks.py."""

import os
import signal
import subprocess
import sys
import time

import pytest

from model.execution.rank_watch import RankError, RankWatch

# all_reduce stands for NCCL's: once a peer has ended it never returns, nor does it raise.
WAITS_FOR_GOOD = """
import sys, time
import torch.distributed as dist
from model.engine import Engine
from model.execution import rank_watch
if __name__ == "__main__":
    rank_watch.GRACE_SECONDS = 1.0
    engine = Engine.load(sys.argv[1], tensor_parallel=2, threads=1)
    dist.all_reduce = lambda *_: time.sleep(1000)
    print(engine.ranks.process_ids[1], flush=True)
    engine.score([[5, 6, 7]], [[8]])
"""


@pytest.mark.timeout(150)
def test_a_process_that_waits_for_good_is_ended(checkpoint):
    waiting = subprocess.Popen(
        [sys.executable, "-c", WAITS_FOR_GOOD, checkpoint("mixtral")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    child = int(waiting.stdout.readline())
    os.kill(child, signal.SIGSTOP)
    time.sleep(1)
    assert waiting.poll() is None, "a rank that stands still has not ended"
    started = time.monotonic()
    os.kill(child, signal.SIGKILL)
    _, said = waiting.communicate(timeout=30)
    assert waiting.returncode == 1
    assert (
        "rank 1 ended with code -9; its output says why. This process waits for it in vain and ends" in said
    )
    assert time.monotonic() - started < 10


@pytest.fixture
def children():
    started = [subprocess.Popen(["sleep", "600"]) for _ in range(2)]
    yield started
    for child in started:
        child.kill()
        child.wait()


def test_a_step_says_which_rank_has_ended(children):
    watch = RankWatch(children)
    with watch.step():
        pass
    with pytest.raises(ZeroDivisionError), watch.step():
        1 / 0  # noqa: B018

    def fail_as_gloo_does():
        children[1].terminate()
        raise RuntimeError("Connection closed by peer")

    with pytest.raises(RankError, match="rank 2 ended with code -15"), watch.step():
        fail_as_gloo_does()
    with pytest.raises(RankError, match="rank 2"):
        watch.check()
    with pytest.raises(RankError, match="rank 2"), watch.step():
        pytest.fail("no step begins when a rank has ended")


def test_ranks_may_end_once_they_are_closed(children):
    watch = RankWatch(children)
    watch.close()
    for child in children:
        child.kill()
        child.wait()
    time.sleep(0.1)
    watch.check()
