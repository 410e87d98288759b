"""The ranks of a replica: rank 0 is the caller's process, the others are its children.

Rank 0 sends every step through each child's standard input, so a waiting child needs no timeout and sees the
end of the file when its parent is gone. What the ranks compute together goes over torch.distributed: NCCL on
GPUs, gloo on CPU. They are on one machine, so no interface but the loopback one is used. If any rank ends,
the replica does: `model.execution.rank_watch`.
"""

import logging
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from model.execution.executor import Executor
from model.execution.loopback import stay_on_loopback
from model.execution.options import ExecutorOptions
from model.execution.rank_watch import RankError, RankWatch
from model.network.tensor_parallel import TensorParallel
from model.requests.readout import Head
from model.scheduling.batch import Batch

_COLLECTIVE_TIMEOUT = timedelta(minutes=5)
_PARENT_CHECK_SECONDS = 0.5


class Ranks:
    """Runs steps on all ranks; `forward` gives rank 0's outputs."""

    def __init__(self, options: ExecutorOptions, tensor_parallel: int) -> None:
        if tensor_parallel > 1 and dist.is_initialized():
            raise RuntimeError(
                "this process holds a replica with tensor_parallel > 1 already; close it first"
            )
        self._children: list[subprocess.Popen[bytes]] = []
        self._watch: RankWatch | None = None
        self._local: Executor | None = None
        try:
            if tensor_parallel > 1:
                self._rendezvous = tempfile.TemporaryDirectory(prefix="ranks-")
                store = Path(self._rendezvous.name) / "store"
                stay_on_loopback()
                for rank in range(1, tensor_parallel):
                    self._children.append(_start(rank, tensor_parallel, store, options))
                _wait_for(self._children, store)
                self._watch = RankWatch(self._children)
                with self.step():
                    _join(0, tensor_parallel, store, options)
            self._local = Executor(options, TensorParallel(0, tensor_parallel))
            if self._watch:
                self._watch.check()
        except BaseException:
            self.close()
            raise

    @property
    def local(self) -> Executor:
        """Rank 0's."""
        assert self._local is not None
        return self._local

    def step(self) -> AbstractContextManager[None]:
        """Around a forward pass and the reading of its outputs: RankError if a rank has ended."""
        return self._watch.step() if self._watch else nullcontext()

    def forward(self, batch: Batch) -> dict[Head, Tensor]:  # [M, ...] each: see Executor.forward
        if self._children:
            step = pickle.dumps(batch)
            for rank, child in enumerate(self._children, start=1):
                assert child.stdin is not None
                try:
                    child.stdin.write(step)
                    child.stdin.flush()
                except BrokenPipeError as error:
                    raise RankError(f"rank {rank} ended; its output says why") from error
        return self.local.forward(batch)

    @property
    def process_ids(self) -> list[int]:
        return [os.getpid(), *(child.pid for child in self._children)]

    def close(self) -> None:
        if self._watch:
            self._watch.close()
        if self._local:
            self._local.close()  # before the group, whose destruction may wait for what refers to it
        for child in self._children:
            child.kill()
            child.wait()
            assert child.stdin is not None
            with suppress(BrokenPipeError):
                child.stdin.close()
        if self._children:
            if dist.is_initialized():
                dist.destroy_process_group()
            self._rendezvous.cleanup()
            self._children = []


def _start(rank: int, size: int, store: Path, options: ExecutorOptions) -> "subprocess.Popen[bytes]":
    here = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    # -P: the caller's current folder may hold a model.py of its own.
    command = [sys.executable, "-P", "-m", "model.execution.ranks"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path})
    assert child.stdin is not None
    if options.device.type == "cuda":
        options = replace(options, device=torch.device("cuda", rank))
    child.stdin.write(pickle.dumps((os.getpid(), rank, size, store, options)))
    child.stdin.flush()
    return child


def _wait_for(children: "list[subprocess.Popen[bytes]]", store: Path) -> None:
    """Until every child has come to the rendezvous: torch would wait for a dead one until its timeout.

    RuntimeError if one of them ended, or if they have not all come within the time of a collective.
    """
    deadline = time.monotonic() + _COLLECTIVE_TIMEOUT.total_seconds()
    for rank, child in enumerate(children, start=1):
        while not _arrival(rank, store).exists():
            if child.poll() is not None:
                raise RankError(
                    f"rank {rank} ended with code {child.returncode} while it started; its output says why"
                )
            if time.monotonic() > deadline:
                raise RankError(f"rank {rank} did not start within {_COLLECTIVE_TIMEOUT}")
            time.sleep(0.02)


def _arrival(rank: int, store: Path) -> Path:
    return store.with_name(f"rank-{rank}")


def _join(rank: int, size: int, store: Path, options: ExecutorOptions) -> None:
    if options.device.type == "cuda":
        torch.cuda.set_device(options.device)
    _arrival(rank, store).touch()
    dist.init_process_group(
        "nccl" if options.device.type == "cuda" else "gloo",
        init_method=f"file://{store}",
        rank=rank,
        world_size=size,
        timeout=_COLLECTIVE_TIMEOUT,
    )


def _die_with(parent: int) -> None:
    """End this process when the parent's has ended.

    Linux' PR_SET_PDEATHSIG would do so when the parent's loading *thread* ends.
    """
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_SECONDS)
    os._exit(1)


def _follow() -> None:
    """A child's whole life: join the group, load its part, run every step that comes.

    What a terminal sends to all of a job's processes is its parent's matter.
    """
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    steps = sys.stdin.buffer
    parent, rank, size, store, options = pickle.load(steps)
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    _join(rank, size, store, options)
    executor = Executor(options, TensorParallel(rank, size))
    while True:
        try:
            batch = pickle.load(steps)
        except EOFError:
            # The parent is gone. The interpreter's own end would wait for what still runs on a GPU.
            logging.shutdown()
            os._exit(0)
        executor.forward(batch)


if __name__ == "__main__":
    _follow()
