"""What an input path names, on a local disk and in a store (fsspec's in memory)."""

import os
from pathlib import Path
from typing import Any

import fsspec
import pytest

from pipeline.errors import ConfigError
from pipeline.reading.listing import Listing, list_path
from pipeline.reading.not_taken import Reason

LAID_OUT = (
    "a.jsonl",
    "deep/b.jsonl",
    "deep/c.txt",
    ".x.jsonl",
    "_tmp/d.jsonl",
    "_tmp/e/f.jsonl",
    "n/o.jsonl",
)


def both(tmp_path: Path, name: str) -> list[str]:
    """The same files on disk and in memory; the paths of both folders."""
    store = fsspec.filesystem("memory")
    for file in LAID_OUT:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
        store.pipe_file(f"/{name}/{file}", b"")
    return [str(tmp_path), f"memory://{name}"]


def said(listing: Listing) -> tuple[list[str], dict[str, Reason]]:
    files = sorted(file.url.removeprefix(f"{listing.base}/") for file in listing.files)
    return files, {one.path.removeprefix(f"{listing.base}/"): one.reason for one in listing.passed_over}


def test_a_folder_gives_all_files_and_what_is_hidden(tmp_path: Path) -> None:
    for given in both(tmp_path, "whole"):
        assert said(list_path(given)) == (
            ["a.jsonl", "deep/b.jsonl", "deep/c.txt", "n/o.jsonl"],
            {".x.jsonl": Reason.HIDDEN, "_tmp/": Reason.HIDDEN},
        ), given


def test_a_glob_tells_only_of_what_it_names(tmp_path: Path) -> None:
    for given in both(tmp_path, "globbed"):
        assert said(list_path(f"{given}/*.jsonl")) == (["a.jsonl"], {".x.jsonl": Reason.HIDDEN}), given
        files, others = said(list_path(f"{given}/*/b*.jsonl"))
        assert files == ["deep/b.jsonl"], given
        assert others.keys() <= {"_tmp/"}, "which could hold some"
        assert said(list_path(f"{given}/d*")) == ([], {"deep": Reason.NOT_ENTERED}), given
        assert said(list_path(f"{given}/**/b.jsonl"))[0] == ["deep/b.jsonl"], given


def test_a_file_is_taken_by_its_name_whatever_it_is(tmp_path: Path) -> None:
    for given in both(tmp_path, "single"):
        listing = list_path(f"{given}/deep/c.txt")
        assert listing.is_file
        assert said(listing) == (["c.txt"], {})


def test_links_in_the_middle_of_a_glob_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a.jsonl").touch()
    (tmp_path / "in").mkdir()
    (tmp_path / "in/de").symlink_to("../real")
    (tmp_path / "in/loop").symlink_to(".")
    files, others = said(list_path(f"{tmp_path}/in/*/*.jsonl"))
    assert (files, others) == (["de/a.jsonl"], {"loop": Reason.LOOP})


def test_what_a_glob_finds_behind_a_second_name_of_a_folder_is_taken(tmp_path: Path) -> None:
    for name in ("g/de/2026-04-01/a.jsonl", "h/a/f.jsonl", "h/c/d/f.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (tmp_path / "g/de/latest").symlink_to("2026-04-01")
    (tmp_path / "h/b").mkdir()
    (tmp_path / "h/b/l").symlink_to("../a")
    assert said(list_path(f"{tmp_path}/g/**/latest/*.jsonl")) == (["de/latest/a.jsonl"], {})
    assert said(list_path(f"{tmp_path}/h/*/*/f.jsonl")) == (["b/l/f.jsonl", "c/d/f.jsonl"], {})
    both = ["de/2026-04-01/a.jsonl", "a/f.jsonl", "c/d/f.jsonl"]
    assert said(list_path(f"{tmp_path}/g/**/*.jsonl")) == (both[:1], {"de/latest": Reason.TWICE})
    assert said(list_path(f"{tmp_path}/h/**")) == (both[1:], {"b/l": Reason.TWICE})


def test_the_root_is_a_folder_like_others(tmp_path: Path) -> None:
    first = f"{tmp_path}".split("/")[1]
    (tmp_path / "a.jsonl").touch()
    listing = list_path(f"/{first[0]}*/{'/'.join(f'{tmp_path}'.split('/')[2:])}/*.jsonl")
    assert [file.path for file in listing.files] == [f"{tmp_path}/a.jsonl"]
    assert listing.base == "file://"


def test_doubled_slashes_are_one_in_globs_and_folders(tmp_path: Path) -> None:
    (tmp_path / "in/b").mkdir(parents=True)
    (tmp_path / "in/b/a.jsonl").touch()
    for given in ("in//*//*.jsonl", "in/./*/a.jsonl", "/in//", ".//in/b/..//"):
        assert said(list_path(f"{tmp_path}/{given}"))[0] == ["b/a.jsonl"], given


def test_a_job_s_folder_is_known_where_its_spec_may_not_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a store, which says so of what is absent too; on a disk: see `tests/hostile`."""
    store = fsspec.filesystem("memory")
    for name in ("job/_job/plan", "job/generations/a.jsonl", "none/generations/a.jsonl"):
        store.pipe_file(f"/closed/{name}", b"")

    def info(self: Any, path: str, **_: Any) -> dict[str, Any]:
        raise PermissionError(13, "Forbidden", path)

    listings = [list_path(f"memory://closed/{name}") for name in ("job", "none")]
    monkeypatch.setattr(type(store), "info", info)
    assert [one.exists(f"{one.base}/_job/spec.json") for one in listings] == [True, False]


def test_a_glob_does_not_look_into_folders_that_it_does_not_name(tmp_path: Path) -> None:
    """Where other folders may not be listed, or are links to half of the disk."""
    for name in ("data-1/a.jsonl", "other/a.jsonl"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    (tmp_path / "other/gone").symlink_to("nowhere")
    assert said(list_path(f"{tmp_path}/data-*/*")) == (["data-1/a.jsonl"], {})


def test_a_name_that_looks_like_a_chain_of_urls_is_a_name(tmp_path: Path) -> None:
    (tmp_path / "a::b.jsonl").touch()
    [file] = list_path(str(tmp_path)).files
    assert os.path.exists(file.path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nothing", "nothing: no such file or folder"),
        ("pipe", "pipe: neither a regular file nor a folder"),
        ("a**b", "no glob that can be read"),
        ("zip://a::b.zip", "chained URLs"),
        ("no-such-kind://x", "no such kind of URL"),
        ("no\x1bx", r"no\\x1bx: no such file"),
        ("gone", r"gone: no such file or folder: the link .*/gone leads to nothing"),
        ("gone/deep/*.jsonl", r"\.jsonl: no such file or folder: the link .*/gone leads to nothing"),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, given: str, message: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone").symlink_to("nowhere")
    with pytest.raises(ConfigError, match=message):
        list_path(given if "://" in given else f"{tmp_path}/{given}")
