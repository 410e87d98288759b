"""python -m tests.chaos.reader FOLDER PATTERN: what somebody sees who reads the output all the time.

Polls every file that matches, until its standard input ends. A file must be readable the first time it is
listed, and stay as it is. Then prints JSON: polls, files read, and what was unreadable, changed or gone.
"""

import hashlib
import io
import json
import select
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SECONDS_BETWEEN_POLLS = 0.1


class Reader:
    def __init__(self, folder: Path, pattern: str) -> None:
        self._folder, self._pattern = folder, pattern
        self._seen: dict[Path, tuple[tuple[int, ...], str]] = {}  # state and hash
        self.polls = 0
        self.bad: dict[str, str] = {}

    def poll(self, again: bool = False) -> None:
        """Read what is new and what has another time, size or inode; `again`: everything."""
        self.polls += 1
        paths = {path for path in self._folder.glob(self._pattern) if path.is_file()}
        for path in self._seen.keys() - paths:
            self.bad[str(path)] = "gone"
        for path in paths:
            status = path.stat()
            state = (status.st_ino, status.st_size, status.st_mtime_ns)
            known = self._seen.get(path)
            if known is not None and known[0] == state and not again:
                continue
            data = path.read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            if known is not None and known[1] != digest:
                self.bad.setdefault(str(path), "changed")
            elif known is None:
                try:
                    pq.read_table(io.BytesIO(data))
                except (pa.ArrowException, OSError) as error:
                    self.bad[str(path)] = f"unreadable: {error}"[:200]
            self._seen[path] = state, digest

    def summary(self) -> dict[str, Any]:
        return {"polls": self.polls, "files": len(self._seen), "bad": self.bad}


def main() -> None:
    reader = Reader(Path(sys.argv[1]), sys.argv[2])
    while not select.select([sys.stdin], [], [], SECONDS_BETWEEN_POLLS)[0]:
        reader.poll()
    reader.poll(again=True)
    print(json.dumps(reader.summary()))


if __name__ == "__main__":
    main()
