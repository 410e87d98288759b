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
