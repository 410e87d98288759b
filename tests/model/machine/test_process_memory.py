"""Packed weights lie in huge pages wholly, not in their middle alone."""

import mmap
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from model.linear import linear
from model.machine.process_memory import ENABLED, HUGE, MADV_COLLAPSE, MADV_HUGEPAGE, keep_freed_memory

WEIGHTS, OUTPUTS, INPUTS = 64, 448, 2048  # of 3.5 MiB each


def bytes_in_huge_pages() -> int:
    rollup = Path("/proc/self/smaps_rollup").read_text()
    return int(re.findall(r"AnonHugePages: +(\d+) kB", rollup)[0]) << 10


def share_in_huge_pages() -> float:
    """Of weights that are laid out one after the other, as an engine's thread does it."""
    keep_freed_memory()
    original = torch.ones(OUTPUTS, INPUTS)
    before = bytes_in_huge_pages()
    weights = [linear.packed(original[None]) for _ in range(WEIGHTS)]
    return (bytes_in_huge_pages() - before) / (len(weights) * original.nbytes)


@pytest.fixture
def kernel_gives_huge_pages() -> None:
    if not ENABLED.exists() or "[never]" in ENABLED.read_text():
        pytest.skip("no huge pages here: not Linux, or switched off")
    with mmap.mmap(-1, 2 * HUGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as probe:
        try:
            probe.madvise(MADV_HUGEPAGE)
            probe.write(b"1" * 2 * HUGE)
            probe.madvise(MADV_COLLAPSE)
        except OSError as error:
            pytest.skip(f"this kernel moves nothing to huge pages: {error}")


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
@pytest.mark.parametrize(("weights", "least", "most"), [("moved", 0.95, 1.1), ("left", 0.1, 0.8)])
def test_weights_are_in_huge_pages_once_they_are_moved(
    kernel_gives_huge_pages: None, weights: str, least: float, most: float
) -> None:
    command = [sys.executable, "-m", "tests.model.machine.test_process_memory", weights]
    asked = {"THP_MEM_ALLOC_ENABLE": "1"}
    shown = subprocess.run(command, env=os.environ | asked, capture_output=True, text=True, check=True)
    assert least <= float(shown.stdout) < most


if __name__ == "__main__":  # in a process of its own: another's heap has huge pages from before
    if sys.argv[1] == "left":
        linear.move_to_huge_pages = lambda address, size: None
    with ThreadPoolExecutor(1) as engine_thread:
        print(engine_thread.submit(share_in_huge_pages).result())
