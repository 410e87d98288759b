"""What can go wrong, and whose problem it is.

JobError            ends the job with an exit code and one sentence for the user
  ConfigError       2: the job file, its input or its checkpoint is wrong; most is found before anything loads
  TooManyErrors     3: more error rows than errors.max_error_rate; everything is published all the same
  Interrupted      75: stopped half-way; the same command goes on where it stopped
RowError            never ends a job: the row is published with status "error", a code and a message
"""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

_MOST_PLACES = 12


class JobError(Exception):
    exit_code = 1


class ConfigError(JobError):
    exit_code = 2


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


def kind_and_places(error: BaseException) -> str:
    """What may be told of any exception: all but its message, unless that is a JobError's.

    Libraries like to quote the value that failed, which may be the text of a row, or a secret. Places are
    `folder/file:line`, the innermost last.
    """
    words = f": {error}" if isinstance(error, JobError) else ""
    frames = traceback.extract_tb(error.__traceback__)[-_MOST_PLACES:]
    places = (f"{'/'.join(Path(frame.filename).parts[-2:])}:{frame.lineno}" for frame in frames)
    return f"{type(error).__name__}{words}, raised at {' > '.join(places)}"


@contextmanager
def quoting_no_row(shard: str | None = None) -> Iterator[None]:
    """Let no unexpected exception's message out of a task.

    Ray writes what a task raises to its logs. So what is raised instead, a JobError, tells the kind, the
    places and the shard. Storage and memory errors pass: their words are about files.
    """
    try:
        yield
    except (JobError, OSError, MemoryError):
        raise
    except Exception as error:
        where = f"shard {shard}: " if shard else ""
        raise JobError(where + kind_and_places(error)) from None


def shortened(text: str, most: int = 60) -> str:
    """`text` as a sentence may quote it, in `most` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"
