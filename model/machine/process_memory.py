"""The memory that tensors lie in: kept by the process when they are freed, and in pages of 2 MiB."""

import ctypes
import os
from functools import cache
from pathlib import Path

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h
MADV_HUGEPAGE, MADV_COLLAPSE = 14, 25  # madvise(2)
HUGE = 2 << 20
ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def keep_freed_memory() -> None:
    """Keep the memory of freed tensors for those of the next step, in place of returning it to the kernel.

    The kernel would have to clear every page anew. By itself glibc returns large blocks at once, and free
    memory at the end of a heap; at the end of a thread's heap it keeps only a "top pad" (mallopt(3)). With
    another C library nothing is changed.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the most that it takes
        mallopt(_M_TRIM_THRESHOLD, 1 << 30)
        mallopt(_M_TOP_PAD, 64 << 20)


def move_to_huge_pages(address: int, size: int) -> None:
    """Ask the kernel to move these bytes, and what lies beside them, into pages of 2 MiB.

    torch asks for such pages when it allocates, but gets them only for the middle of a tensor: the larger
    part of a weight of 4 MB stays in small pages. Less than half a page is not moved. Nothing happens on a
    Linux before 6.1, where no such page is free, and on other systems.
    """
    if size < HUGE // 2 or not _huge_pages_are_wanted():
        return  # a small tensor would move a page that mostly holds other data
    madvise = ctypes.CDLL(None).madvise
    first, last = address // HUGE * HUGE, (address + size - 1) // HUGE * HUGE
    # The first and the last page are asked for apart: something else in them may not be movable.
    for start, end in (first, first + HUGE), (first + HUGE, last), (last, last + HUGE):
        for advice in (MADV_HUGEPAGE, MADV_COLLAPSE):  # the first lets neighbours join into one mapping
            madvise(ctypes.c_void_p(start), ctypes.c_size_t(max(0, end - start)), advice)


@cache
def _huge_pages_are_wanted() -> bool:
    """Whether torch asks for them and the machine's owner allows it, whom MADV_COLLAPSE would overrule."""
    try:
        allowed = "[never]" not in ENABLED.read_text(encoding="utf-8")
    except OSError:  # no Linux
        allowed = False
    return allowed and os.environ.get("THP_MEM_ALLOC_ENABLE") == "1"
