"""Files and folders with odd names, or that are not what they look like."""

import os
from pathlib import Path
from typing import Any

from tests.hostile.case import OK, Case, write_lines, write_model
from tests.hostile.permissions import become_nobody

GOOD = b'{"text": "a"}'
ODD = (
    "a b.jsonl",
    "#.jsonl",
    "%20.jsonl",
    "new\nline.jsonl",
    "[x].jsonl",
    "é😀.jsonl",
    "~.jsonl",
    "a?b=c.jsonl",
    "o[red].jsonl",
    "\x1b[31m.jsonl",
    "a::b.jsonl",
    "\u202elnosj.jsonl",
    "'\"$(true)`.jsonl",
    "é" * 124 + "x.jsonl",  # 255 bytes
)


def _odd_names(folder: Path) -> None:
    for name in ODD:
        write_lines(folder, GOOD, name=name)


def _single(name: str) -> Any:
    def make(folder: Path) -> dict[str, Any]:
        write_lines(folder, GOOD, name=name)
        return {"input": {"path": str(folder / "in" / name)}}

    return make


def _symlink_loop(folder: Path) -> None:
    write_lines(folder, GOOD)
    (folder / "in" / "loop").symlink_to(folder / "in")
    (folder / "in" / "self.jsonl").symlink_to("self.jsonl")
    (folder / "in" / "gone.jsonl").symlink_to("nowhere")


def _folder_with_a_files_name(folder: Path) -> None:
    (folder / "in" / "x.jsonl").mkdir()
    write_lines(folder, GOOD, name="x.jsonl/y.jsonl")


def _pipe(folder: Path) -> None:
    write_lines(folder, GOOD)
    os.mkfifo(folder / "in" / "pipe.jsonl")


def _unreadable(folder: Path) -> None:
    write_model(folder)
    (folder / "in" / "a.jsonl").chmod(0)
    become_nobody(folder)


PATHS = {
    "odd names in a folder": Case(
        _odd_names,
        rows=[OK] * len(ODD),
        columns={"id": [f"{name}#0" for name in sorted(ODD)]},
    ),
    **{
        f"a path like {name!r}": Case(_single(name), rows=[OK], columns={"id": [f"{name}#0"]}) for name in ODD
    },
    "symlinks in a loop and to nowhere": Case(_symlink_loop, rows=[OK]),
    "a folder with a file's name": Case(
        _folder_with_a_files_name, rows=[OK], columns={"id": ["x.jsonl/y.jsonl#0"]}
    ),
    "a pipe that nobody writes to": Case(_pipe, rows=[OK]),
    "a file without permission": Case(_unreadable, refused="a.jsonl: no permission"),
}
