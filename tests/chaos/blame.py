"""Who is blamed in a job's output folder, and who of them wrongly, found without the project's code.

A shard is blamed if some process ran its rows alone, a row if it came out as WORKER_CRASH. There is cause
only if processes that had begun the shard fell one by one while their run went on (the soak knows whom it
killed), or if more of them were lost with their whole run than a shard is promised to be forgiven.
"""

import json
from collections import defaultdict
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from tests.chaos.oracle import CRASHED

FORGIVEN = 8  # as docs/durability.md promises


@dataclass(frozen=True)
class Marker:
    process: str
    first: int
    end: int
    alone: bool


def read_markers(output: Path) -> dict[str, list[Marker]]:
    """By shard, oldest first."""
    markers: dict[str, list[Marker]] = defaultdict(list)
    for path in sorted(output.glob("_job/attempts/*.json")):
        said = json.loads(path.read_bytes())
        piece = said["piece"]
        markers[path.name.rpartition("-")[0]].append(
            Marker(said["process"], piece["first"], piece["end"], said["alone"])
        )
    return dict(markers)


def lost(markers: list[Marker]) -> list[Marker]:
    """The last marker of each process that has not told its end."""
    last = {marker.process: marker for marker in markers}
    return [marker for marker in last.values() if marker.end]


def wrongly_blamed(output: Path, felled: Container[str], max_attempts: int) -> list[str]:
    """What is blamed without cause; `felled` are processes of replicas that fell while their run went on."""
    wrong = []
    markers = read_markers(output)
    for shard, told in markers.items():
        first = next((n for n, marker in enumerate(told) if marker.alone and marker.end), None)
        if first is not None and not _cause(told[:first], felled, max(1, max_attempts - 1)):
            wrong.append(f"shard {shard} runs alone from its marker {first} on")
    for part in sorted(output.glob("generations/*.parquet")):
        shard = part.stem.rpartition("-")[2]
        table = pq.read_table(part, columns=["row", "error_code"]).to_pylist()
        for number, row in enumerate(table):
            if row["error_code"] == CRASHED:
                alone = [m for m in markers[shard] if m.alone and (m.first, m.end) == (number, number + 1)]
                others = [m for m in markers[shard] if m not in alone]
                if not _cause(alone, felled, 2, len(_lost_with_run(others, felled))):
                    wrong.append(f"row {number} of shard {shard} is {CRASHED}")
    return wrong


def _cause(markers: list[Marker], felled: Container[str], enough: int, forgiven_already: int = 0) -> bool:
    fell = {marker.process for marker in markers if marker.process in felled}
    beyond = len(_lost_with_run(markers, felled)) + forgiven_already - FORGIVEN
    return len(fell) + max(0, beyond) >= enough


def _lost_with_run(markers: list[Marker], felled: Container[str]) -> set[str]:
    return {marker.process for marker in lost(markers) if marker.process not in felled}
