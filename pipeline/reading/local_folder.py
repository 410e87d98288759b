"""All files below a local folder, through links too; none of its folders is listed twice for the same."""

import errno
import os
import stat
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from pipeline.reading.not_taken import PassedOver, Reason
from pipeline.storage.output_folder import within

_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)  # a link's target is absent, or is the link itself


@dataclass(frozen=True)
class LocalFile:
    path: str
    real: str  # the same without links
    linked: bool  # whether a link below the folder that was listed leads to it


@dataclass(frozen=True)
class _Folder:
    path: str
    real: str
    asked: Collection[int]
    above: tuple[str, ...] = ()  # real folders that hold the links on the way to it


def files_below(
    folder: str, asked: Callable[[str], Collection[int]], hides: Callable[[str], bool]
) -> Iterator[LocalFile | PassedOver]:
    """Regular files in no particular order, and what was passed over.

    What is `asked` of the folder at a path are the positions of a pattern at which something in it may match,
    see `GlobPattern.positions`; it is not entered if there is none. A folder that several names lead to is
    listed by one of them, and by another one only if more is asked of that: so links between folders end.
    A name that `hides` is told of, and not entered. Folders that links lead to come after all others, so that
    a folder's own name goes before a link's. OSError names what can't be listed or looked at.
    """
    listed: dict[tuple[str, int], str] = {}  # paths by real path and position
    waiting = [_Folder(folder, os.path.realpath(folder or "/"), asked(folder))]
    links: deque[_Folder] = deque()
    while waiting or links:
        here = waiting.pop() if waiting else links.popleft()
        more = [at for at in here.asked if (here.real, at) not in listed]
        if not more:
            yield PassedOver(Reason.TWICE, here.path, listed[here.real, min(here.asked)])
            continue
        listed.update({(here.real, at): here.path for at in more})
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
            elif not (asked_of_it := asked(path)):
                yield PassedOver(Reason.NOT_ENTERED, path)
            elif not is_link:
                waiting.append(_Folder(path, real, asked_of_it, here.above))
            elif any(within(one, real) for one in (*here.above, here.real)):
                yield PassedOver(Reason.LOOP, path)
            else:
                links.append(_Folder(path, real, asked_of_it, (*here.above, here.real)))


def link_to_nothing(path: str) -> str | None:
    """The link on the way to `path`, which does not exist, that has no target."""
    place = path
    while place and not os.path.lexists(place):
        place = place.rpartition("/")[0]
    return place if place and not os.path.exists(place) else None


def _names(folder: str) -> list[str]:
    """In order, so that each listing of the same folder finds the same; none if it has just been removed."""
    try:
        return sorted(os.listdir(folder or "/"))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _look(path: str) -> tuple[int, bool] | None:
    """The mode, that of a link only if it leads nowhere, and whether it is a link; None if it is gone.

    OSError if a link's target can't be looked at, as where the disk or server that holds it fails.
    """
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISLNK(mode):
        return mode, False
    try:
        return os.stat(path).st_mode, True
    except OSError as error:
        if error.errno not in _NOWHERE:
            raise
        return mode, True
