"""What keeps a Ray that the job starts itself from other users of the machine: its folder and its token.

Ray lets everybody write into the folder of its sessions, and stores a token that it makes in the user's home
folder, readable for others, or fails where there is no home.
"""

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from model.machine.own_folder import private_folder

# A socket's path has 107 bytes at most.
_LONGEST = 107 - len("/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store.1")
_TOKEN = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


def session_folder() -> str:
    """Where Ray's sessions go: in a folder of this user alone, which is made if need be."""
    return str(private_folder(parent_folder()) / "ray")


def parent_folder() -> str:
    """Where that folder is: $RAY_TMPDIR; else $TMPDIR, if Ray's sockets can have names there; else /tmp."""
    if given := os.environ.get("RAY_TMPDIR"):
        return given
    folder = os.environ.get("TMPDIR") or "/tmp"
    sockets = os.path.join(folder, f"mixtray-{os.geteuid()}", "ray")
    return folder if len(os.fsencode(sockets)) <= _LONGEST else "/tmp"


def give_token() -> None:
    """Have the Ray that starts ask for a token that only its own processes know, unless one is given."""
    if os.environ.get("RAY_AUTH_MODE", "token") == "token" and not any(map(os.environ.get, _TOKEN)):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def token_others_can_read() -> Path | None:
    """The file of the token by which this user joins clusters, if other users of the machine can read it."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return None
    with suppress(OSError, RuntimeError):  # there is none, or no home
        given = os.environ.get("RAY_AUTH_TOKEN_PATH")
        path = Path(given) if given else Path.home() / ".ray" / "auth_token"
        of_file, *of_folders = (found.stat().st_mode for found in (path, *path.resolve().parents))
        for read, enter in ((stat.S_IRGRP, stat.S_IXGRP), (stat.S_IROTH, stat.S_IXOTH)):
            if of_file & read and all(mode & enter for mode in of_folders):
                return path
    return None
