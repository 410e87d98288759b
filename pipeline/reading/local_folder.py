"""All files below a local folder, through links too; each real folder is listed once."""

import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeline.reading.not_taken import PassedOver, Reason
from pipeline.storage.output_folder import within


@dataclass(frozen=True)
class LocalFile:
    path: str
    real: str  # the same without links
    linked: bool  # whether a link below the folder that was listed leads to it


@dataclass(frozen=True)
class _Folder:
    path: str
    real: str
    above: tuple[str, ...] = ()  # real folders that hold the links on the way to it


def files_below(
    folder: str, enters: Callable[[str], bool], hides: Callable[[str], bool]
) -> Iterator[LocalFile | PassedOver]:
    """Regular files in no particular order, and what was passed over.

    A folder is entered if `enters` says so of its path; a name that `hides` is told of, and not entered.
    Folders that links lead to come after all others, so that a folder's own name goes before a link's.
    PermissionError names what may not be listed or looked at.
    """
    listed: dict[str, str] = {}  # by real path
    waiting = [_Folder(folder, os.path.realpath(folder))]
    links: deque[_Folder] = deque()
    while waiting or links:
        here = waiting.pop() if waiting else links.popleft()
        if here.real in listed:
            yield PassedOver(Reason.TWICE, here.path, listed[here.real])
            continue
        listed[here.real] = here.path
        for name in _names(here.path):
            path = f"{here.path}/{name}"
            if hides(name):
                yield PassedOver(Reason.HIDDEN, f"{path}/" if os.path.isdir(path) else path)
                continue
            found = _look(path)
            if found is None:
                continue
            kind, is_link = found
            real = os.path.realpath(path) if is_link else f"{here.real.rstrip('/')}/{name}"
            if stat.S_ISLNK(kind):
                yield PassedOver(Reason.NOWHERE, path)
            elif stat.S_ISREG(kind):
                yield LocalFile(path, real, is_link or bool(here.above))
            elif not stat.S_ISDIR(kind):
                yield PassedOver(Reason.NO_FILE, path)
            elif not enters(path):
                yield PassedOver(Reason.NOT_ENTERED, path)
            elif not is_link:
                waiting.append(_Folder(path, real, here.above))
            elif any(within(one, real) for one in (*here.above, here.real)):
                yield PassedOver(Reason.LOOP, path)
            else:
                links.append(_Folder(path, real, (*here.above, here.real)))


def _names(folder: str) -> list[str]:
    """In order, so that each listing of the same folder finds the same; none if it has just been removed."""
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _look(path: str) -> tuple[int, bool] | None:
    """The mode, that of a link only if it leads nowhere, and whether it is a link; None if it is gone."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISLNK(mode):
        return mode, False
    try:
        return os.stat(path).st_mode, True
    except PermissionError:
        raise
    except OSError:  # its target is absent, or is the link itself
        return mode, True
