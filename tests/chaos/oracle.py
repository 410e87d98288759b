"""What must have come out of a job, found without the project's code: lines are counted in the input's bytes,
answers are computed anew, and the output is read by pyarrow alone."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

VOCABULARY = 1024
NEW_TOKENS = 4
CRASHED = "WORKER_CRASH"


@dataclass
class Verdict:
    rows: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    crashed: int = 0  # with cause or without: see `blame`
    examples: list[str] = field(default_factory=list)


def judge(inputs: Path, parts: Iterable[Path]) -> Verdict:
    """Rows are known by file and line or, where the output doesn't tell those, by their note."""
    expected = {
        (path.name, row): expected_row(line)
        for path in sorted(inputs.glob("*.jsonl"))
        for row, line in enumerate(path.read_bytes().split(b"\n")[:-1])
    }
    by_note = {note: key for key, (_, note, _) in expected.items()}
    found: Counter[tuple[str, int]] = Counter()
    verdict = Verdict(rows=len(expected))
    for part in sorted(parts):
        for row in _rows(part):
            key = (row["file"], row["row"]) if "file" in row else by_note[row["note"]]
            found[key] += 1
            if row.get("error_code") == CRASHED:
                verdict.crashed += 1
            elif (row.get("status", "ok"), row["note"], row["token_ids"]) != expected.get(key):
                verdict.wrong += 1
                verdict.examples.append(f"wrong {key} in {part.name}: {row.get('error_code')}")
    missing = [key for key in expected if not found[key]]
    twice = [key for key, count in found.items() if count > 1]
    verdict.lost, verdict.doubled = len(missing), sum(found[key] - 1 for key in twice)
    verdict.examples += [f"lost {key}" for key in missing] + [f"doubled {key}" for key in twice]
    return verdict


def _rows(part: Path) -> list[dict[str, Any]]:
    """None of a file that can't be read: what it should have held is lost."""
    try:
        rows: list[dict[str, Any]] = pq.ParquetFile(part).read().to_pylist()
    except (pa.ArrowException, OSError):
        return []
    return rows


def expected_row(line: bytes) -> tuple[str, str | None, list[int] | None]:
    """Status, note and answer."""
    try:
        row: Any = json.loads(line)
    except ValueError:
        return "error", None, None
    if not isinstance(row, dict):
        return "error", None, None
    prompt = row.get("ids")
    if prompt is None:
        return "error", row.get("note"), None
    return "ok", row["note"], answer(prompt)


def answer(prompt: list[int]) -> list[int]:
    total = 0
    for i in range(len(prompt)):
        total += (i + 1) * prompt[i]
    return [3 + (total * (k + 1) + 7 * k) % (VOCABULARY - 3) for k in range(NEW_TOKENS)]
