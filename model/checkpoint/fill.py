"""Fills a model's parameters from stored tensors, by several threads that read ranges at once.

Where a tensor's bytes are what a parameter holds, they are read into its memory and nowhere else. Otherwise
(another dtype, some columns, a GPU) each thread reads up to CHUNK bytes into a buffer of its own and copies.
So beside the parameters there are no more than THREADS buffers, and what formats make of tensors that are not
plain.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from itertools import islice
from time import monotonic
from typing import Any

import torch
from torch import Tensor

from model.checkpoint.ranged_file import RangedTensor, as_rows
from model.checkpoint.tensor_files import bounds
from model.checkpoint.weight_map import Slices, Source

THREADS = 8
CHUNK = 8 << 20  # bytes
_TELL_EVERY_S = 10.0

logger = logging.getLogger(__name__)

Piece = tuple[int, Callable[[], None]]  # its bytes in the parameter, and what fills it


class Progress:
    """Says in the log how far a load is, every few seconds."""

    def __init__(self, total: int) -> None:
        self._total = total  # bytes of all parameters
        self._done = 0
        self._began = self._told = monotonic()

    def add(self, count: int) -> None:
        self._done += count
        now = monotonic()
        if now - self._told >= _TELL_EVERY_S:
            self._told = now
            gb, speed = self._total / 1e9, self._done / 1e9 / (now - self._began)
            logger.info("weights: %.0f%% of %.1f GB, %.2f GB/s", 100 * self._done / self._total, gb, speed)


def fill(found: list[tuple[Source, Any, Slices]], progress: Progress, threads: int = THREADS) -> None:
    """Fill each source's target from its stored tensor.

    OSError or ValueError where a tensor can't be read; then some targets are not filled.
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="load") as pool:
        pieces = _pieces(found)
        waiting: dict[Future[None], int] = {}
        try:
            while True:
                for size, read in islice(pieces, 2 * threads - len(waiting)):
                    waiting[pool.submit(read)] = size
                if not waiting:
                    return
                for done in wait(waiting, return_when=FIRST_COMPLETED).done:
                    done.result()
                    progress.add(waiting.pop(done))
        finally:
            pool.shutdown(cancel_futures=True)


def _pieces(found: Iterable[tuple[Source, Any, Slices]]) -> Iterator[Piece]:
    for source, stored, slices in found:
        target = source.target.detach()
        if not isinstance(stored, RangedTensor) or not target.numel():
            yield target.nbytes, partial(_whole, target, stored, slices)
            continue
        rows = stored.rows(bounds(slices, stored.shape))
        parts = as_rows(target, rows)
        step = max(1, CHUNK // rows.row_bytes)
        for begin in range(0, rows.count, step):
            part = parts[begin : begin + step]
            read = partial(rows.read_into, part, begin, begin + len(part))
            yield part.nbytes, partial(_by_buffer, read, part.device)


def _whole(target: Tensor, stored: Any, slices: Slices) -> None:
    """What another format makes of it: at most one such tensor in each thread."""
    target.copy_(stored[slices].reshape(target.shape))


_OWN = threading.local()


def _by_buffer(read: Callable[[Tensor], None], device: torch.device) -> None:
    buffer = getattr(_OWN, "buffer", None)
    if buffer is None:
        buffer = _OWN.buffer = torch.empty(CHUNK, dtype=torch.uint8, pin_memory=device.type == "cuda")
    read(buffer)
