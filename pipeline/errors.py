"""What can go wrong, and who has to act.

JobError            ends the job with an exit code and one sentence for the user
  ConfigError       2: the job file, its input or its checkpoint is wrong; most is found before anything loads
    DamagedFile     2: a file of the output folder is not what was written there
  TooManyErrors     3: more error rows than errors.max_error_rate; everything is published all the same
  Interrupted      75: stopped half-way; the same command goes on where it stopped
RowError            never ends a job: the row is published with status "error", a code and a message
"""

import errno
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

_MOST_FRAMES = 12
_REFUSED = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP,
    errno.EREMCHG,  # a bucket of another region
}  # fmt: skip
# Control and format characters and halves of surrogate pairs. Not among them: the end of a line, the tab, and
# the joiners of scripts and emoji.
_OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


class JobError(Exception):
    """Its message is `printable`: names of files and columns in it may be an enemy's."""

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(message))


class ConfigError(JobError):
    exit_code = 2


class DamagedFile(ConfigError):
    """`path` is relative to the output folder; `remedy` is what to do, in words."""

    def __init__(self, path: str, what: str, remedy: str) -> None:
        super().__init__(shown(f"output.path: {path} is damaged ({what}): {remedy}"))
        self.path, self.what, self.remedy = path, what, remedy

    def __reduce__(self) -> tuple[type["DamagedFile"], tuple[str, str, str]]:
        return DamagedFile, (self.path, self.what, self.remedy)


class TooManyErrors(JobError):
    """`report` is the job's, as `pipeline.run.run` would have returned it."""

    exit_code = 3

    def __init__(self, message: str, report: object) -> None:
        super().__init__(message)
        self.report = report


class Interrupted(JobError):
    exit_code = 75

    def __init__(self, message: str = "stopped before the end; run the same command again to go on") -> None:
        super().__init__(message)


def job_error(error: OSError, what: str = "") -> JobError:
    """What an OSError means for the user: 2 where the system refuses, until it is mended; else 1.

    `what` is the key of the job file that is about it, or another name for it.
    """
    kinds = (PermissionError, NotADirectoryError, IsADirectoryError)
    text = f"{what}: {error}" if what else str(error)
    if isinstance(error, kinds) or error.errno in _REFUSED:
        return ConfigError(text)
    return JobError(f"{text}; mend the cause and run the same command again")


class RowErrorCode(StrEnum):
    EMPTY_LINE = "EMPTY_LINE"
    LINE_TOO_LONG = "LINE_TOO_LONG"
    INVALID_UTF8 = "INVALID_UTF8"
    MALFORMED_JSON = "MALFORMED_JSON"
    NOT_AN_OBJECT = "NOT_AN_OBJECT"
    UNREADABLE = "UNREADABLE"
    MISSING_COLUMN = "MISSING_COLUMN"
    WRONG_TYPE = "WRONG_TYPE"
    NULL_PROMPT = "NULL_PROMPT"
    EMPTY_PROMPT = "EMPTY_PROMPT"
    BAD_MESSAGES = "BAD_MESSAGES"
    BAD_TOKEN_ID = "BAD_TOKEN_ID"
    TEMPLATE_FAILED = "TEMPLATE_FAILED"
    BAD_PARAMETER = "BAD_PARAMETER"
    PROMPT_TOO_LONG = "PROMPT_TOO_LONG"
    NAN_LOGITS = "NAN_LOGITS"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    WORKER_CRASH = "WORKER_CRASH"


class RowError(Exception):
    """One row cannot be run; the message must not quote the row's own text."""

    def __init__(self, code: RowErrorCode, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def describe_without_message(error: BaseException) -> str:
    """An exception's type and where it was raised; its message only if it is a JobError.

    Libraries often quote the value that failed, which may be the text of a row, or a secret. Locations are
    `folder/file:line`, the innermost last.
    """
    message = f": {error}" if isinstance(error, JobError) else ""
    frames = traceback.extract_tb(error.__traceback__)[-_MOST_FRAMES:]
    locations = (f"{'/'.join(Path(frame.filename).parts[-2:])}:{frame.lineno}" for frame in frames)
    return f"{type(error).__name__}{message}, raised at {' > '.join(locations)}"


@contextmanager
def hide_row_text(shard: str | None = None) -> Iterator[None]:
    """Raise a JobError in place of an unexpected exception, whose message may quote a row.

    Ray writes what a Ray task raises to its logs. The JobError tells the exception's type, where it was
    raised, and the shard. Errors of storage and memory pass, since their messages are about files; those that
    no second run would mend as ConfigError.
    """
    try:
        yield
    except (JobError, MemoryError):
        raise
    except OSError as error:
        if isinstance(told := job_error(error), ConfigError):
            raise told from None
        raise
    except Exception as error:
        where = f"shard {shard}: " if shard else ""
        raise JobError(where + describe_without_message(error)) from None


def how_many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def shortened(text: str, most: int = 60) -> str:
    """`text` as a sentence may quote it, in `most` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def printable(text: str) -> str:
    """`text` with all that a terminal would obey, or could not print, written as escapes.

    A byte that was not UTF-8, as file names have, is `\\xe9`. Ends of lines stay.
    """
    return _OBEYED.sub(lambda found: _escape(found[0]), text)


def shown(name: str) -> str:
    """The name of a file, folder or column as messages and tables show it: printable, and in one line."""
    return printable(name).replace("\n", "\\n").replace("\t", "\\t")


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
