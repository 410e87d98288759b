"""Folders full of links, or of what is no input, or in the way of the output: nothing is lost or doubled."""

import bz2
import gzip
import lzma
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.hostile.case import OK, Case, write_lines, write_model
from tests.hostile.permissions import become_nobody

GOOD = b'{"text": "a"}\n'
SPEC = "_job/spec.json"
PART = "generations/part-000000-feed.jsonl"


def laid_out(
    *files: str, links: Mapping[str, str] | None = None, input: str = "in", output: str = "out"
) -> Callable[[Path], dict[str, Any]]:
    """Files of one row each, links by their targets, and the job's paths, all in the case's folder."""

    def make(folder: Path) -> dict[str, Any]:
        for name in (*files, *(links or {})):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        for name in files:
            (folder / name).write_bytes(GOOD)
        for name, target in (links or {}).items():
            (folder / name).symlink_to(target)
        return {"input": {"path": f"{folder}/{input}"}, "output": {"path": f"{folder}/{output}"}}

    return make


def _packed(folder: Path) -> None:
    packed = {"A.JSONL": GOOD, "B.Json.GZ": gzip.compress(GOOD), "c.jsonl.bz2": bz2.compress(GOOD)}
    for name, data in (packed | {"d.NDJSON.XZ": lzma.compress(GOOD)}).items():
        (folder / "in" / name).write_bytes(data)


def _links_between_all(folder: Path) -> None:
    folders = [folder / "in" / f"{number:02}" for number in range(12)]
    for one in folders:
        one.mkdir()
        (one / "a.jsonl").write_bytes(GOOD)
        for other in folders:
            (one / f"to-{other.name}").symlink_to(other)


def _named_in_bytes(*names: bytes) -> Callable[[Path], None]:
    """A good file beside one whose path is given."""

    def make(folder: Path) -> None:
        write_lines(folder, GOOD.strip())
        path = Path(os.fsdecode(b"/".join([os.fsencode(folder / "in"), *names])))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(GOOD)

    return make


def _closed(folder: Path) -> None:
    write_model(folder)
    (folder / "in/closed").mkdir(mode=0)
    become_nobody(folder)


def _private_job(given: str) -> Callable[[Path], dict[str, Any]]:
    """A job's output of which others may not enter `_job`."""

    def make(folder: Path) -> dict[str, Any]:
        write_model(folder)
        laid_out("in/a.jsonl", f"in/night/{SPEC}", "in/night/report.json", f"in/night/{PART}")(folder)
        (folder / "in/night/_job").chmod(0)
        become_nobody(folder)
        return {"input": {"path": f"{folder}/in/{given}"}}

    return make


FOLDERS = {
    "a snapshot of links to blobs": Case(
        laid_out(
            "blobs/feed", "blobs/beef", links={"in/a.jsonl": "../blobs/feed", "in/b.jsonl": "../blobs/beef"}
        ),
        rows=[OK, OK],
        columns={"id": ["a.jsonl#0", "b.jsonl#0"]},
    ),
    "a folder of links to folders": Case(
        laid_out("data/x/a.jsonl", "data/y/a.jsonl", links={"in/x": "../data/x", "in/y": "../data/y"}),
        rows=[OK, OK],
        columns={"id": ["x/a.jsonl#0", "y/a.jsonl#0"]},
    ),
    "links within a glob": Case(
        laid_out("data/x/a.jsonl", links={"in/lang=de": "../data/x"}, input="in/*/*.jsonl"),
        rows=[OK],
        columns={"id": ["lang=de/a.jsonl#0"]},
    ),
    "a link to what lies above the folder": Case(
        laid_out("in/a.jsonl", "b.jsonl", links={"in/deep/up": "../..", "in/top": "/"}), rows=[OK]
    ),
    "a file with four names": Case(
        laid_out("in/b.jsonl", links={"in/a.jsonl": "b.jsonl", "in/c": ".", "in/d.jsonl": "a.jsonl"}),
        rows=[OK],
        columns={"id": ["b.jsonl#0"]},
    ),
    "twelve folders of links to one another": Case(_links_between_all, rows=[OK] * 12),
    "a glob through a folder's second name": Case(
        laid_out("in/de/04-01/a.jsonl", links={"in/de/latest": "04-01"}, input="in/**/latest/*.jsonl"),
        rows=[OK],
        columns={"id": ["de/latest/a.jsonl#0"]},
    ),
    "a glob at two depths of one folder": Case(
        laid_out("in/a/f.jsonl", "in/c/d/f.jsonl", links={"in/b/l": "../a"}, input="in/*/*/f.jsonl"),
        rows=[OK, OK],
        columns={"id": ["b/l/f.jsonl#0", "c/d/f.jsonl#0"]},
    ),
    "a glob that is met by both names of a folder": Case(
        laid_out("in/a/f.jsonl", links={"in/b/l": "../a"}, input="in/**/[al]/f.jsonl"),
        rows=[OK],
        columns={"id": ["a/f.jsonl#0"]},
    ),
    "a link to a name that is too long": Case(
        laid_out("in/a.jsonl", links={"in/b.jsonl": "x" * 300}), refused=r"in/b\.jsonl: File name too long"
    ),
    "a path that is a link to nothing": Case(
        laid_out(links={"in/a.jsonl": "gone"}, input="in/a.jsonl"),
        refused="the link .*/in/a.jsonl leads to nothing",
    ),
    "a path behind a link to nothing": Case(
        laid_out(links={"in/latest": "gone"}, input="in/latest/*.jsonl"),
        refused="/in/latest leads to nothing",
    ),
    "doubled slashes in a glob": Case(
        laid_out("in/b/a.jsonl", input="in//*//*.jsonl"), rows=[OK], columns={"id": ["b/a.jsonl#0"]}
    ),
    "brackets of a folder's own name in a glob": Case(
        laid_out("in/q[1]/a.jsonl", input="in/q[1]/*.jsonl"),
        refused=r"a \[ that names have .* is written \[\[\]",
    ),
    "a hidden name with an ending of data": Case(
        laid_out("in/_SUCCESS_rows.jsonl"), refused="not taken: _SUCCESS_rows.jsonl: hidden"
    ),
    "a hidden folder of data": Case(laid_out("in/.cache/a.jsonl"), refused=r"not taken: \.cache/: hidden"),
    "another job's output whose spec may not be read": Case(
        _private_job(""), rows=[OK], columns={"id": ["a.jsonl#0"]}
    ),
    "another job's output as the input, of which the spec may not be read": Case(
        _private_job("night"), refused="as its _job shows, is no input as a whole"
    ),
    "a link into another job's output among the input": Case(
        laid_out(f"in/night/{SPEC}", f"in/night/{PART}", links={"in/more": "night/generations"}),
        refused="more, night/: the output of a job",
    ),
    "a folder without permission": Case(_closed, refused="in/closed: no permission"),
    "upper case, bzip2 and xz": Case(_packed, rows=[OK] * 4),
    "a file's name that is not UTF-8": Case(
        _named_in_bytes(b"caf\xe9.jsonl"), refused=r"caf\\xe9\.jsonl: its name is not UTF-8"
    ),
    "a folder's name that is not UTF-8": Case(
        _named_in_bytes(b"caf\xe9", b"a.jsonl"), refused=r"caf\\xe9/a\.jsonl: its name is not UTF-8"
    ),
    "what is not UTF-8 and not read": Case(_named_in_bytes(b"caf\xe9.txt"), rows=[OK]),
    "what `datasets` and hubs leave beside the data": Case(
        laid_out("in/a.json", "in/dataset_info.json", "in/state.json", "in/.gitattributes", "in/README.md"),
        rows=[OK],
        columns={"id": ["a.json#0"]},
    ),
    "another job's output among the input": Case(
        laid_out("in/a.jsonl", f"in/night/{SPEC}", f"in/night/{PART}"),
        rows=[OK],
        columns={"id": ["a.jsonl#0"]},
    ),
    "another job's output as the input": Case(
        laid_out(f"in/{SPEC}", f"in/{PART}"), refused="no input as a whole; its rows are in .*in/generations"
    ),
    "another job's generations as the input": Case(
        laid_out(f"in/{SPEC}", f"in/{PART}", input="in/generations"), rows=[OK]
    ),
    "output in the input": Case(laid_out("in/a.jsonl", output="in/out"), refused="out lies in input.path"),
    "output in the input by a link": Case(
        laid_out("in/a.jsonl", links={"link": "in"}, output="link/out"), refused="out lies in input.path"
    ),
    "input in the output": Case(
        laid_out("in/a.jsonl", output="in"), refused="would read what it has written|lies in output.path"
    ),
    "a glob that would take the output": Case(
        laid_out("in/a.parquet", input="in/**/*.parquet", output="in/out"), refused="would take what the job"
    ),
}
