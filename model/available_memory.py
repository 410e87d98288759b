"""Memory that this process can still have: the machine's, within what a container or a batch system allows.

Groups of processes have limits, each within those of the groups around it: cgroups(7). The kernel's
admin-guide describes their files, in bytes, under cgroup-v1/memory and cgroup-v2.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
MEMBERSHIP = Path("/proc/self/cgroup")
GROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class _Files:
    """A group's, and the names by which its memory.stat counts what is cached of files."""

    limit: str
    used: str
    cached: tuple[str, str]


_V1 = _Files("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_active_file", "total_inactive_file"))
_V2 = _Files("memory.max", "memory.current", ("active_file", "inactive_file"))


def available_bytes() -> int:
    """Without others being swapped or this process being killed; what is cached of files counts as free."""
    return min([_of_machine(), *_of_groups()])


def _of_machine() -> int:
    available = [int(line.split()[1]) << 10 for line in _lines(MEMINFO) if line.startswith("MemAvailable:")]
    return available[0] if available else os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _of_groups() -> Iterator[int]:
    """What is left of each limit that this process has."""
    for line in _lines(MEMBERSHIP):
        _, controllers, group = line.split(":", 2)
        if not controllers:
            yield from _left(GROUPS, group, _V2)
        elif "memory" in controllers.split(","):
            yield from _left(GROUPS / "memory", group, _V1)


def _left(root: Path, group: str, files: _Files) -> Iterator[int]:
    """By the group and those around it. A container may see its own as the root, and know its outer name."""
    names = group.strip("/").split("/")
    for folder in (root.joinpath(*names[:depth]) for depth in range(len(names) + 1)):
        limit, used = _lines(folder / files.limit), _lines(folder / files.used)
        if limit and used and limit != ["max"]:
            counts = map(str.split, _lines(folder / "memory.stat"))
            cached = sum(int(bytes_) for name, bytes_ in counts if name in files.cached)
            yield max(0, int(limit[0]) - int(used[0]) + cached)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
