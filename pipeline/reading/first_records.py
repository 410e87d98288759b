"""The first records of JSONL files, and files that hold something else than one record a line."""

from collections.abc import Iterator
from contextlib import suppress
from shlex import quote
from typing import Any

from pipeline.errors import ConfigError, RowError, shown
from pipeline.reading.compressed import BrokenStream
from pipeline.reading.files import InputFile
from pipeline.reading.lines import parse_line
from pipeline.reading.partitions import partition_columns
from pipeline.reading.streams import read_file, split_lines

SAMPLE_LINES = 100
_BATCH_FILE = {"custom_id", "method", "url", "body"}


def first_keys(files: list[InputFile]) -> dict[str, None]:
    """The columns of the first records of the first files, in order; none if no line is a record.

    ConfigError if a file holds one array, or objects over several lines.
    """
    keys: dict[str, None] = {}
    records = 0
    for file in files:
        first, lines, good = b"", 0, 0
        for line in _head(file, SAMPLE_LINES):
            first, lines = first or line.strip(), lines + 1
            with suppress(RowError):
                keys |= dict.fromkeys(parse_line(line))
                good += 1
        if 2 * good < lines:
            _require_lines(file, first)
        if good:
            keys |= dict.fromkeys(partition_columns(file.name))
        records += good
        if records >= SAMPLE_LINES:
            break
    return keys


def first_records(file: InputFile, most: int) -> Iterator[dict[str, Any]]:
    """The records among the first `most` lines, with the columns that the file's folders add."""
    columns = partition_columns(file.name)
    for line in _head(file, most):
        with suppress(RowError):
            yield columns | parse_line(line)


def batch_file_hint(columns: dict[str, None], file: str) -> str:
    """What to do if the columns are those of a request file for OpenAI's batch API, else nothing."""
    if not columns.keys() >= _BATCH_FILE:
        return ""
    return (
        ". This is a request file for OpenAI's batch API, which is not read yet: take the conversations out "
        f"with jq -c '{{id: .custom_id, messages: .body.messages}}' {shown(quote(file))} > rows.jsonl, "
        "then set input.prompt.messages: messages and input.id_column: id"
    )


def _require_lines(file: InputFile, first: bytes) -> None:
    """ConfigError for a file of which most lines are no records, by its first line."""
    if first.startswith(b"["):
        raise ConfigError(
            f"input.path: {shown(file.name)}: this is a JSON array, not JSON Lines with one object a line; "
            f"turn it into lines, for example with: jq -c '.[]' {shown(quote(file.name))}"
        )
    if first == b"{":
        raise ConfigError(
            f"input.path: {shown(file.name)}: its objects are spread over several lines; write one "
            f"object a line, for example with: jq -c . {shown(quote(file.name))}"
        )


def _head(file: InputFile, most: int) -> Iterator[bytes]:
    """The first lines of a file, without those that are too long."""
    try:
        for number, line in enumerate(split_lines(read_file(file))):
            if number == most:
                return
            if line is not None:
                yield line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line
    except BrokenStream:
        return
