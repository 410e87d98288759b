"""What to do about a file of the output folder that is not what was written there, by the kind of file.

A job computes again whatever lacks. So most files can be removed, if what depends on them is removed too.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import DamagedFile

_COPY = "put it back from a copy of the folder; without one, "
_ANEW = "run the same command again, which writes it anew"
_REMEDIES = {
    "generations/": (
        "remove it, and the _SUCCESS that names it if there is one, and run the same command again: its "
        "shard is computed anew"
    ),
    "_job/router/": (
        "remove it, the part in generations that has the same shard in its name, and the _SUCCESS that names "
        "that part if there is one, and run the same command again: the shard is computed anew"
    ),
    "_job/attempts/": (
        "remove all files there whose names begin with the same shard, and run the same command again: it "
        "counts from the start how often the shard killed its process"
    ),
    "_job/machine.json": (
        "remove it and run the same command again, on machines of the kind on which the job began: other "
        "machines give other bytes"
    ),
    "_job/spec.json": (
        f"{_COPY}remove it and {_ANEW}, if the job file and the checkpoint are those that the job began with"
    ),
    "_job/plan-": (
        f"{_COPY}if there is no later plan file, remove it and run the same command again (with --extend, if "
        "it is not plan-000), which plans the same shards if the input files are as they were; if there is, "
        "begin the job anew in another output.path: the rows that are there can be read all the same"
    ),
    "_SUCCESS": "remove it and run the same command again, which reads the parts and writes it anew",
    "report.": _ANEW,
    "router/": _ANEW,
}


def damaged(path: str, what: str) -> DamagedFile:
    """`path` is relative to the output folder, `what` says what is wrong with the file there."""
    [remedy] = (remedy for kind, remedy in _REMEDIES.items() if path.startswith(kind))
    return DamagedFile(path, what, remedy)


def foreign(path: str) -> DamagedFile:
    """Of a file that lies among the job's and is none of them."""
    return DamagedFile(path, "it is none of this job's files", "move it out of the folder")


def perhaps_later(path: str, plan_file: str) -> DamagedFile:
    """Of a part behind those that the plan names."""
    return DamagedFile(
        path,
        f"no plan file names it; if the job was extended, {plan_file} is lost",
        f"if the job was extended, put {plan_file} back from a copy of the folder; without one, run the same "
        "command again with --extend, which plans the same shards if the input files are as they were. If it "
        "was not, move the file out of the folder",
    )


@contextmanager
def naming_unreadable(path: str) -> Iterator[None]:
    """What keeps this one file from being read becomes a DamagedFile; what may pass by itself does not."""
    try:
        yield
    except FileNotFoundError:
        raise damaged(path, "it is missing") from None
    except PermissionError as error:
        raise DamagedFile(path, f"it may not be read: {_why(error)}", "let this user read it") from error
    except OSError as error:
        if error.errno == errno.EISDIR:
            raise damaged(path, "it is a folder") from error
        if error.errno == errno.EIO:
            raise damaged(path, f"its disk does not give it: {_why(error)}") from error
        raise


def _why(error: OSError) -> str:
    return error.strerror or str(error)


@contextmanager
def naming_damage(path: str) -> Iterator[None]:
    """What fails while the file's content is parsed becomes a DamagedFile.

    A plain ValueError says in a sentence what is wrong; the messages of its kinds may quote the file.
    """
    try:
        yield
    except (ValueError, LookupError, TypeError) as error:
        plain = type(error) is ValueError
        raise damaged(path, str(error) if plain else "it is not what was written there") from None
