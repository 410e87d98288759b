"""Weights lie in large pages wholly, not in their middle alone."""

import mmap
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from model.linear import Multiply, packed
from model.process_memory import keep_freed_memory

HUGE = 2 << 20
WEIGHTS, OUTPUTS, INPUTS = 32, 448, 2048  # of 3.5 MiB each
MADV_HUGEPAGE, MADV_COLLAPSE = 14, 25


def bytes_in_huge_pages() -> int:
    rollup = Path("/proc/self/smaps_rollup").read_text()
    return int(re.findall(r"AnonHugePages: +(\d+) kB", rollup)[0]) << 10


@pytest.fixture
def huge_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that gives them when it is asked."""
    if sys.platform != "linux":
        pytest.skip("huge pages are Linux'")
    with mmap.mmap(-1, 2 * HUGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as probe:
        try:
            probe.madvise(MADV_HUGEPAGE)
            for start in range(0, 2 * HUGE, mmap.PAGESIZE):
                probe[start] = 1
            probe.madvise(MADV_COLLAPSE)
        except OSError as error:
            pytest.skip(f"this kernel has no huge pages for us: {error}")
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "1")


def pack() -> tuple[list[Multiply], int]:
    """Weights laid out one after the other, as an engine's thread does it; how much came into huge pages."""
    keep_freed_memory()
    before = bytes_in_huge_pages()
    weights = [packed(torch.ones(OUTPUTS, INPUTS)) for _ in range(WEIGHTS)]
    return weights, bytes_in_huge_pages() - before


def share_in_huge_pages() -> float:
    with ThreadPoolExecutor(1) as thread:
        weights, size = thread.submit(pack).result()
    return size / (len(weights) * OUTPUTS * INPUTS * 4)


def test_all_of_a_weight_is_in_huge_pages(huge_pages: None) -> None:
    assert share_in_huge_pages() > 0.95


def test_nothing_is_moved_where_torch_is_told_not_to_ask(
    huge_pages: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")
    assert share_in_huge_pages() < 0.95
