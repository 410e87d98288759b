"""What can go wrong, and who has to act.

JobError            ends the job with an exit code and one sentence for the user
  ConfigError       2: the job file, its input or its checkpoint is wrong; most is found before anything loads
    DamagedFile     2: a file of the output folder is not what was written there
  TooManyErrors     3: more error rows than errors.max_error_rate; everything is published all the same
  Interrupted      75: stopped half-way; the same command goes on where it stopped
RowError            never ends a job: the row is published with status "error", a code and a message
"""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

_MOST_FRAMES = 12


class JobError(Exception):
    exit_code = 1


class ConfigError(JobError):
    exit_code = 2


class DamagedFile(ConfigError):
    """`path` is relative to the output folder; `remedy` is what to do, in words."""

    def __init__(self, path: str, what: str, remedy: str) -> None:
        super().__init__(path, what, remedy)  # all of them, so that it can be pickled
        self.path, self.what, self.remedy = path, what, remedy

    def __str__(self) -> str:
        return escaped(f"output.path: {self.path} is damaged ({self.what}): {self.remedy}")


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
    raised, and the shard. Errors of storage and memory pass as they are: their messages are about files.
    """
    try:
        yield
    except (JobError, OSError, MemoryError):
        raise
    except Exception as error:
        where = f"shard {shard}: " if shard else ""
        raise JobError(where + describe_without_message(error)) from None


def shortened(text: str, most: int = 60) -> str:
    """`text` as a sentence may quote it, in `most` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def escaped(name: str) -> str:
    """A file's name on one line, without a character that a terminal would obey."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
