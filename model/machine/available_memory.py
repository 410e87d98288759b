"""Memory that this process can still have: the machine's, within what a container or a batch system allows.

Control groups (cgroups) have limits, each within those of the cgroups around it: cgroups(7). The kernel's
admin-guide describes their files, in bytes, under cgroup-v1/memory and cgroup-v2.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
MEMBERSHIP = Path("/proc/self/cgroup")
CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class _Files:
    """Names of a cgroup's files, and of the lines of memory.stat that count what the kernel can reclaim."""

    limit: str
    used: str
    reclaimable: tuple[str, ...]


_V1 = _Files("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_active_file", "total_inactive_file"))
_V2 = _Files("memory.max", "memory.current", ("active_file", "inactive_file", "slab_reclaimable"))


def available_bytes() -> int:
    """What can be allocated without swapping or being killed. Cached files count as free memory."""
    return min([_of_machine(), *_of_cgroups()])


def _of_machine() -> int:
    available = [int(line.split()[1]) << 10 for line in _lines(MEMINFO) if line.startswith("MemAvailable:")]
    return available[0] if available else os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _of_cgroups() -> Iterator[int]:
    """What is left of each limit that this process has."""
    for line in _lines(MEMBERSHIP):
        _, _, membership = line.partition(":")
        controllers, _, cgroup = membership.partition(":")
        if "memory" in controllers.split(","):
            yield from _left(CGROUPS / "memory", cgroup, _V1)
        elif not controllers:
            yield from _left(CGROUPS, cgroup, _V2)


def _left(root: Path, cgroup: str, files: _Files) -> Iterator[int]:
    """What is left of the limits of a cgroup and of those around it.

    In a container the cgroup may be named by its path outside, while its files lie in the root: folders that
    don't exist have no limit.
    """
    names = cgroup.strip("/").split("/")
    for folder in (root.joinpath(*names[:depth]) for depth in range(len(names) + 1)):
        limit, used = _number(folder / files.limit), _number(folder / files.used)
        if limit is not None and used is not None:
            counts = (line.partition(" ") for line in _lines(folder / "memory.stat"))
            reclaimable = sum(int(count) for name, _, count in counts if name in files.reclaimable)
            yield max(0, limit - used + reclaimable)


def _number(path: Path) -> int | None:
    """None if there is no such file, or a word in it: no limit."""
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].isdecimal() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
