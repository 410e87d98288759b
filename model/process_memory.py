"""How a process holds what tensors lie in: what it keeps when they go, and in pages of which size."""

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h
_MADV_HUGEPAGE, _MADV_COLLAPSE = 14, 25  # madvise(2)
_HUGE = 2 << 20


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
    """Have the kernel move these bytes, and what lies beside them, into pages of 2 MiB.

    torch asks for such pages as it allocates, and gets them for the middle of a tensor alone: of a weight of
    4 MB the larger part stays in small ones. Where Linux is older than 6.1, has no such pages left, or torch
    is told not to ask for them (THP_MEM_ALLOC_ENABLE), nothing is changed; so it is on other systems.
    """
    if sys.platform != "linux" or os.environ.get("THP_MEM_ALLOC_ENABLE") != "1":
        return
    madvise = ctypes.CDLL(None).madvise
    for page in range(address // _HUGE * _HUGE, address + size, _HUGE):
        for advice in (_MADV_HUGEPAGE, _MADV_COLLAPSE):  # the first so that neighbours are one mapping
            madvise(ctypes.c_void_p(page), ctypes.c_size_t(_HUGE), advice)
