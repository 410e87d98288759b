"""A Ray of the job's own: in a folder and with a token that other users of the machine cannot use."""

import os
import stat
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from pipeline.cluster.private_session import (
    give_token,
    parent_folder,
    session_folder,
    token_others_can_read,
)


@pytest.fixture(autouse=True)
def _nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_TMPDIR", "TMPDIR", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)


def test_sessions_lie_in_a_folder_of_this_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    folder = Path(session_folder())
    assert folder.name == "ray"  # Ray opens this one itself to all
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    assert session_folder() == str(folder)


def test_sockets_have_short_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert parent_folder() == "/tmp"
    monkeypatch.setenv("TMPDIR", "/var/tmp")
    assert parent_folder() == "/var/tmp"
    monkeypatch.setenv("TMPDIR", "/scratch/" + "x" * 40)
    assert parent_folder() == "/tmp"
    monkeypatch.setenv("RAY_TMPDIR", "/scratch/" + "x" * 40)  # whoever says it is told by Ray
    assert parent_folder() == "/scratch/" + "x" * 40


def test_a_token_is_made_unless_one_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    give_token()
    assert "RAY_AUTH_TOKEN" not in os.environ
    monkeypatch.delenv("RAY_AUTH_MODE")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "given")
    give_token()
    assert os.environ["RAY_AUTH_TOKEN"] == "given"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "")
    give_token()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64


@pytest.mark.parametrize(
    ("folder_mode", "mode", "seen"),
    [(0o755, 0o644, True), (0o755, 0o640, True), (0o755, 0o600, False), (0o700, 0o644, False)],
)
def test_a_token_that_others_can_read_is_found(
    monkeypatch: pytest.MonkeyPatch, folder_mode: int, mode: int, seen: bool
) -> None:
    with TemporaryDirectory(dir="/tmp") as home:  # pytest's own folders are closed to others
        os.chmod(home, folder_mode)
        monkeypatch.setenv("HOME", home)
        assert token_others_can_read() is None
        path = Path(home, ".ray/auth_token")
        path.parent.mkdir(mode=0o755)
        path.write_text("x")
        path.chmod(mode)
        assert token_others_can_read() == (path if seen else None)
        monkeypatch.setenv("RAY_AUTH_TOKEN", "given")
        assert token_others_can_read() is None
