"""Folders of this user alone: the cache, and a private one beside those of others, as in /tmp."""

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path


def cache_folder() -> Path:
    """$XDG_CACHE_HOME or ~/.cache; a private one in /tmp for a user without a home that can be written."""
    with suppress(OSError, RuntimeError):  # RuntimeError: nobody says where the home is
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    return private_folder() / "cache"


def private_folder(parent: str = "/tmp") -> Path:
    """A folder in `parent` that only this user may enter: always the same, unless its name is taken.

    `parent` is made if need be.
    """
    folder = Path(parent, f"mixtray-{os.geteuid()}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        return Path(tempfile.mkdtemp(prefix="mixtray-", dir=parent))
    if stat.S_IMODE(found.st_mode) != 0o700:
        folder.chmod(0o700)
    return folder
