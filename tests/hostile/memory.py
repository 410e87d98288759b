"""Peak memory of planning and reading files of two sizes: `python -m tests.hostile.memory [MB MB]`.

Each in a process of its own. By default 100 MB and 2 GB, which takes a minute or two. Fails if the last
takes more than 1.2 times the memory of the first.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.peak_memory import peak_memory
from pipeline.config.job import InputSection
from pipeline.shards.make_plan import make_plan
from pipeline.shards.read_shard import read_shard, records

LIMIT = 1.2
BLOCK = b"".join(json.dumps({"id": n, "text": "word " * (n % 97)}).encode() + b"\n" for n in range(3800))


def write(path: Path, megabytes: int) -> None:
    """A JSONL file of that size; blocks of about 1 MB, one after the other."""
    with open(path, "wb") as file:
        while file.tell() < megabytes * 10**6:
            file.write(BLOCK)


def read(path: str) -> None:
    """Plan, read and parse one shard after the other, then print rows and peak memory in bytes."""
    section = InputSection.model_validate({"path": path, "prompt": {"column": "text"}})
    rows = 0
    for shard in make_plan(section).shards:
        rows += sum(isinstance(record, dict) for record in records(read_shard(shard, ["text"]), ["text"]))
    print(rows, peak_memory())


def peak(megabytes: int) -> tuple[int, int]:
    """Rows and peak memory of a process that reads a file of that size."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        write(path, megabytes)
        command = [sys.executable, "-m", "tests.hostile.memory", "read", str(path)]
        rows, memory = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.split()
    return int(rows), int(memory)


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["read"]:
        read(arguments[1])
        return
    sizes = [int(size) for size in arguments] or [100, 2000]
    peaks = []
    for size in sizes:
        rows, memory = peak(size)
        peaks.append(memory)
        print(f"{size:>6} MB  {rows:>12,} rows  peak {memory / 1e6:8.1f} MB", flush=True)
    if peaks[-1] > LIMIT * peaks[0]:
        sys.exit(f"reading the last took more than {LIMIT} times the memory of the first")


if __name__ == "__main__":
    main(sys.argv[1:])
