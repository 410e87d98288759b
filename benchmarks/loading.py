"""How fast a checkpoint's weights are loaded, beside the disk's own speed and transformers' loader.

The disk's own speed is that of preadv, by as many threads, over the same files into memory that is fresh.
Cold means that the kernel was asked to drop the files from its page cache before (posix_fadvise, DONTNEED).
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch

from model.checkpoint.fill import CHUNK, THREADS
from model.checkpoint.load import load_transformer
from model.checkpoint.safetensors_files import weight_files

WAYS = ("disk", "ours", "transformers")


@dataclass(frozen=True)
class Loading:
    size: int  # bytes of the weight files
    seconds: dict[str, list[float]]  # by way, one for each round

    def speed(self, way: str) -> float:
        """Bytes a second, by the median of the rounds."""
        return self.size / median(self.seconds[way])

    def ratio(self, other: str) -> float:
        """How many times the other's speed ours is: the median over rounds, each compared in turn."""
        pairs = zip(self.seconds["ours"], self.seconds[other], strict=True)
        return median(theirs / ours for ours, theirs in pairs)


def measure_loading(folder: Path, cold: bool, rounds: int, dtype: torch.dtype | None = None) -> Loading:
    """Each round loads once in each way, in turn. `dtype`: to compute in; None: as stored."""
    files = weight_files(folder)
    size = sum(file.stat().st_size for file in files)
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for file in files:
        _read([file])
    for _ in range(rounds):
        for way in WAYS:
            if cold:
                _drop(files)
            began = perf_counter()
            _load(way, folder, files, dtype)
            seconds[way].append(perf_counter() - began)
    return Loading(size, seconds)


def _load(way: str, folder: Path, files: list[Path], dtype: torch.dtype | None) -> None:
    if way == "disk":
        _read(files)
    elif way == "ours":
        load_transformer(folder, dtype or _stored_dtype(folder))
    else:
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype or _stored_dtype(folder))
        for parameter in model.parameters():  # it maps files: one number of each page makes them be read
            parameter.detach().flatten()[:: 4096 // parameter.itemsize].sum()


def _stored_dtype(folder: Path) -> torch.dtype:
    from safetensors import safe_open

    with safe_open(weight_files(folder)[0], framework="pt") as file:
        dtype: torch.dtype = file.get_tensor(next(iter(file.keys()))).dtype
        return dtype


def _read(files: list[Path]) -> None:
    """All bytes, by as many threads and in pieces as large as the loader's."""
    with ThreadPoolExecutor(THREADS) as pool:
        for file in files:
            size = file.stat().st_size
            memory = np.empty(size, np.uint8).data
            descriptor = os.open(file, os.O_RDONLY)
            try:
                for _ in pool.map(partial(_fill, descriptor, memory), range(0, size, CHUNK)):
                    pass
            finally:
                os.close(descriptor)


def _fill(descriptor: int, memory: memoryview, start: int) -> None:
    buffer = memory[start : start + CHUNK]
    while len(buffer):
        count = os.preadv(descriptor, [buffer], start)
        buffer, start = buffer[count:], start + count


def _drop(files: list[Path]) -> None:
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)  # pages that are not written yet stay
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
