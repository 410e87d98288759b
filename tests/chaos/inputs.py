"""The rows of one job of the soak: files of JSONL, some lines of which are no rows, and the job's file."""

import json
import random
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
CHECKPOINT = ROOT / "configs/demo/tiny-mixtral"
VOCABULARY, NEW_TOKENS = 1024, 4
BROKEN = ("", "{", '{"ids": [5, 6]', "[]", '{"ids": null}', '{"id": 1}')


@dataclass(frozen=True)
class ChaosJob:
    folder: Path
    rows: int
    max_attempts: int = 100_000

    @property
    def config(self) -> Path:
        return self.folder / "job.yaml"

    @property
    def output(self) -> Path:
        return self.folder / "out"

    @property
    def log(self) -> Path:
        """What its runs print."""
        return self.folder / "driver.log"

    def process_of(self, pid: int) -> str | None:
        """The name that the replica with this process id gives itself; None before it can run a shard."""
        told = self.folder / "replicas"
        lines = [line.split() for line in told.read_text().splitlines()] if told.exists() else []
        return next((name for number, name in reversed(lines) if int(number) == pid), None)


def make_job(
    folder: Path, seed: int, rows: int, broken: float, replicas: int = 1, max_attempts: int = 100_000
) -> ChaosJob:
    """`broken` is the share of lines that are not valid rows.

    With so many attempts no shard is ever suspected, though the machine kills its processes again and again.
    """
    dice = random.Random(seed)
    (folder / "in").mkdir(parents=True)
    at = sorted({0, dice.randrange(rows), dice.randrange(rows)})
    for number, (first, end) in enumerate(zip(at, [*at[1:], rows], strict=True)):
        lines = [_line(dice, row, broken) for row in range(first, end)]
        (folder / f"in/{number}.jsonl").write_text("".join(line + "\n" for line in lines))
    job = {
        "job": folder.name,
        "task": "generate",
        "model": {"path": str(CHECKPOINT), "tensor_parallel": 2},
        "input": {
            "path": str(folder / "in"),
            "prompt": {"token_ids": "ids"},
            "keep": ["note"],
            "shard_rows": 16,
        },
        "generation": {"max_new_tokens": NEW_TOKENS, "ignore_eos": True},
        "engine": {"replicas": replicas, "progress_deadline_s": 30},
        "router": {"statistics": False},
        "output": {"path": str(folder / "out"), "include": ["token_ids"]},
        "errors": {"max_attempts": max_attempts, "max_error_rate": 1.0},
    }
    (folder / "job.yaml").write_text(yaml.safe_dump(job))
    return ChaosJob(folder, rows, max_attempts)


def _line(dice: random.Random, row: int, broken: float) -> str:
    if dice.random() < broken:
        return dice.choice(BROKEN)
    ids = [dice.randrange(3, 1000) for _ in range(dice.randrange(1, 40))]
    return json.dumps({"ids": ids, "note": f"row {row}, {dice.randrange(10**6)}"})
