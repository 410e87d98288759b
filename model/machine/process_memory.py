"""How a process holds what tensors lie in: what it keeps when they go, and in pages of which size."""

import ctypes
import os
from functools import cache
from pathlib import Path

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h
MADV_HUGEPAGE, MADV_COLLAPSE = 14, 25  # madvise(2)
HUGE = 2 << 20
ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def keep_freed_memory() -> None:
    """Let the process keep what tensors leave, for those of the next step; the kernel would clear it anew.

    glibc gives back what is free at a heap's end, and large blocks at once (mallopt(3)); of a thread's heap
    all but the top pad. Elsewhere nothing is changed.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the most that it takes
        mallopt(_M_TRIM_THRESHOLD, 1 << 30)
        mallopt(_M_TOP_PAD, 64 << 20)


def move_to_huge_pages(address: int, size: int) -> None:
    """Have the kernel move these bytes, and what lies beside them, into pages of 2 MiB, as far as it can.

    torch asks for such pages as it allocates, and gets them for the middle of a tensor alone: of a weight of
    4 MB the larger part stays in small ones. Less than half a page is left where it is. Nothing is changed
    where Linux is older than 6.1 or has none to give, and on other systems.
    """
    if size < HUGE // 2 or not _huge_pages_are_wanted():
        return  # each of many small ones would move a page of others
    madvise = ctypes.CDLL(None).madvise
    first, last = address // HUGE * HUGE, (address + size - 1) // HUGE * HUGE
    # Apart: what else lies in the first and the last page may be nothing that can be moved.
    for start, end in (first, first + HUGE), (first + HUGE, last), (last, last + HUGE):
        for advice in (MADV_HUGEPAGE, MADV_COLLAPSE):  # the first so that neighbours are one mapping
            madvise(ctypes.c_void_p(start), ctypes.c_size_t(max(0, end - start)), advice)


@cache
def _huge_pages_are_wanted() -> bool:
    """Whether torch asks for them and the machine's owner allows it, whom MADV_COLLAPSE would overrule."""
    try:
        allowed = "[never]" not in ENABLED.read_text()
    except OSError:  # no Linux
        allowed = False
    return allowed and os.environ.get("THP_MEM_ALLOC_ENABLE") == "1"
