"""Whom the soak can kill, found in /proc, and a kill that counts only if it ended a living process."""

import os
import select
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

RANK = str(Path(__file__).with_name("rank.py"))
SECONDS_TO_DIE = 10


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    command: str


def processes() -> list[Process]:
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            try:
                command = (
                    Path(entry.path, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
                fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if fields[0] not in "ZX":
                found.append(Process(int(entry.name), int(fields[1]), command))
    return found


def victims(fork_server: int, drivers: Iterable[int], raylets: Iterable[int]) -> dict[str, list[int]]:
    """Living processes of this soak by kind; of Ray's workers only those that have something to do."""
    everybody = processes()
    workers = {p.pid: p for p in everybody if p.parent == fork_server and p.command.startswith("ray::")}
    ranks = [p for p in everybody if p.parent in workers and RANK in p.command]
    watchdogs = [p for p in everybody if p.parent in workers and "watchdog.py" in p.command]
    replicas = {p.parent for p in ranks}
    busy = {pid for pid, p in workers.items() if not p.command.startswith("ray::IDLE")}
    alive = {p.pid for p in everybody}
    return {
        "replica": sorted(replicas),
        "worker": sorted(busy - replicas),
        "rank": sorted(p.pid for p in ranks),
        "watchdog": sorted(p.pid for p in watchdogs),
        "driver": sorted(alive.intersection(drivers)),
        "raylet": sorted(alive.intersection(raylets)),
    }


def kill(pid: int) -> bool:
    """SIGKILL; True if the process was alive before and is dead after it."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if select.select([descriptor], [], [], 0)[0]:
            return False  # dead already
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        return bool(select.select([descriptor], [], [], SECONDS_TO_DIE)[0])
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
