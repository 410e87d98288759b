"""Folders of this user alone, with or without a home."""

import os
import stat
from pathlib import Path

import pytest

from model.machine.own_folder import cache_folder, private_folder


def test_a_private_folder_is_the_same_each_time_and_closed_to_others(tmp_path: Path) -> None:
    parent = tmp_path / "not/there/yet"
    folder = private_folder(str(parent))
    assert folder == parent / f"mixtray-{os.geteuid()}"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o777)
    assert private_folder(str(parent)) == folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("taken_by", ["link", "file", "another user"])
def test_a_name_that_somebody_took_is_not_used(tmp_path: Path, taken_by: str) -> None:
    taken = tmp_path / f"mixtray-{os.geteuid()}"
    if taken_by == "link":
        (tmp_path / "elsewhere").mkdir()
        taken.symlink_to(tmp_path / "elsewhere")
    elif taken_by == "file":
        taken.touch()
    elif os.geteuid() == 0:
        taken.mkdir()
        os.chown(taken, 12345, 12345)
    else:
        pytest.skip("another user's folder takes root")
    folder = private_folder(str(tmp_path))
    assert folder != taken
    assert folder.parent == tmp_path
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_cache_is_at_home_or_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home/.cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache"


def test_without_a_home_the_cache_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "no-folder").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no-folder"))
    assert cache_folder().parent == private_folder()
