import errno
import os
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.storage.open_store import open_store


def test_a_full_disk_leaves_no_part_and_no_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    store.create("generations/a", b"1")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.create("generations/b", b"data")
    assert store.list("generations") == ["generations/a"]
    assert store.list("_job/tmp") == []


def test_a_disk_without_hard_links_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(source: object, target: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(ConfigError, match="hard links"):
        open_store(tmp_path).probe()
    assert [*tmp_path.iterdir()] == []


def test_a_probe_leaves_nothing_and_is_made_where_files_will_be(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    open_store(out).probe()
    assert [*tmp_path.iterdir()] == []
    open_store(out).create("_job/spec.json", b"{}")
    open_store(out).probe()
    assert [path.name for path in (out / "_job").iterdir() if path.is_file()] == ["spec.json"]


def test_a_file_or_a_link_to_nowhere_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link"):
        with pytest.raises(ConfigError, match=f"output.path: .*{name}/out: cannot create files"):
            open_store(tmp_path / name / "out").probe()
    with pytest.raises(ConfigError, match=r"output\.path: .*file/out: a file lies where a folder should be"):
        open_store(tmp_path / "file" / "out").read("_job/spec.json")
