"""The ranks of a replica: rank 0 is the caller's process, the others are its children.

Rank 0 sends every step through each child's standard input, so a waiting child needs no timeout and sees the
end of the file when its parent is gone. What the ranks compute together goes over torch.distributed: NCCL on
GPUs, gloo on the loopback interface on CPU. Any rank's death ends the replica: the others fail in their next
collective.
"""

import ctypes
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from model.batch import Batch
from model.executor import Executor, ExecutorOptions
from model.parallel import TensorParallel

_COLLECTIVE_TIMEOUT = timedelta(minutes=5)
_PR_SET_PDEATHSIG = 1


class Ranks:
    """Runs steps on all ranks; `forward` gives rank 0's logits."""

    def __init__(self, options: ExecutorOptions, tensor_parallel: int) -> None:
        self._children: list[subprocess.Popen[bytes]] = []
        if tensor_parallel > 1:
            self._rendezvous = tempfile.TemporaryDirectory(prefix="ranks-")
            store = Path(self._rendezvous.name) / "store"
            self._children = [
                _start(rank, tensor_parallel, store, options) for rank in range(1, tensor_parallel)
            ]
            _join(0, tensor_parallel, store, options)
        try:
            self.local = Executor(options, TensorParallel(0, tensor_parallel))
        except BaseException:
            self.close()
            raise

    def forward(self, batch: Batch) -> Tensor:  # [M, V]
        if self._children:
            step = pickle.dumps(batch)
            for child in self._children:
                assert child.stdin is not None
                child.stdin.write(step)
                child.stdin.flush()
        return self.local.forward(batch)

    @property
    def process_ids(self) -> list[int]:
        return [os.getpid(), *(child.pid for child in self._children)]

    def close(self) -> None:
        for child in self._children:
            child.kill()
            child.wait()
            assert child.stdin is not None
            with suppress(BrokenPipeError):
                child.stdin.close()
        if self._children:
            dist.destroy_process_group()
            self._rendezvous.cleanup()
            self._children = []


def _start(rank: int, size: int, store: Path, options: ExecutorOptions) -> "subprocess.Popen[bytes]":
    here = str(Path(__file__).resolve().parent.parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])}
    child = subprocess.Popen([sys.executable, "-m", "model.ranks"], stdin=subprocess.PIPE, env=environment)
    assert child.stdin is not None
    if options.device.type == "cuda":
        options = replace(options, device=torch.device("cuda", rank))
    child.stdin.write(pickle.dumps((rank, size, store, options)))
    child.stdin.flush()
    return child


def _join(rank: int, size: int, store: Path, options: ExecutorOptions) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    if options.device.type == "cuda":
        torch.cuda.set_device(options.device)
    dist.init_process_group(
        "nccl" if options.device.type == "cuda" else "gloo",
        init_method=f"file://{store}",
        rank=rank,
        world_size=size,
        timeout=_COLLECTIVE_TIMEOUT,
    )


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _follow() -> None:
    """A child's whole life: join the group, load its part, run every step that comes."""
    _die_with_parent()
    steps = sys.stdin.buffer
    rank, size, store, options = pickle.load(steps)
    _join(rank, size, store, options)
    executor = Executor(options, TensorParallel(rank, size))
    while True:
        try:
            batch = pickle.load(steps)
        except EOFError:
            return
        executor.forward(batch)


if __name__ == "__main__":
    _follow()
