"""Which input columns a job needs, and a check that they are there before anything loads."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from pipeline.config.input import InputSection
from pipeline.errors import ConfigError, RowError, shortened
from pipeline.reading.compressed import BrokenStream
from pipeline.reading.files import InputFile
from pipeline.reading.kept_types import SAMPLED_RECORDS, KeptBefore, KeptTypes
from pipeline.reading.lines import parse_line
from pipeline.reading.parquet import read_schema
from pipeline.reading.streams import read_file, split_lines
from pipeline.task import Task
from pipeline.text.templates import template_columns

SAMPLE_LINES = 100
_MOST_NAMED = 50


def required_columns(section: InputSection, task: Task[Any] | None = None) -> dict[str, str]:
    """Columns that must exist, each with the key of the job file that asks for it."""
    prompt = section.prompt
    needed: dict[str, str] = {}
    if prompt.template is not None:
        needed |= dict.fromkeys(sorted(template_columns(prompt.template)), "input.prompt.template")
    for key in ("column", "messages", "token_ids"):
        name = getattr(prompt, key)
        if name is not None:
            needed.setdefault(name, f"input.prompt.{key}")
    if section.id_column is not None:
        needed.setdefault(section.id_column, "input.id_column")
    for name in section.kept_by_name.values():
        needed.setdefault(name, "input.keep")
    if section.group_by is not None:
        needed.setdefault(section.group_by, "input.group_by")
    return {**(task.input_columns if task else {}), **needed}


def columns_to_read(section: InputSection, task: Task[Any] | None = None) -> list[str]:
    """The required columns, and those that a template can do without."""
    return list(required_columns(section, task))


def check_columns(
    files: list[InputFile],
    section: InputSection,
    before: KeptBefore | None = None,
    task: Task[Any] | None = None,
) -> str:
    """The types of the kept columns, see `KeptTypes`; `before` has those of a job that is extended.

    ConfigError if a required column is missing, or if a kept column has different types in Parquet files.
    Parquet is checked by the schema of every file, JSONL by the first lines of the first files. Types of kept
    columns follow from the first records of every file.
    """
    needed = required_columns(section, task)
    kept = KeptTypes(section, before)
    for file in files:
        if file.format == "jsonl":
            if section.keep and not before:
                kept.add_jsonl(_first_records(file))
            continue
        schema = read_schema(file)
        _check(file.name, needed, schema.names)
        times = Counter(schema.names)
        for name in times if section.keeps_all else columns_to_read(section, task):
            if times[name] > 1:
                raise ConfigError(f"input.path: {file.name} has more than one column {name!r}; rename them")
        kept.add_parquet(file.name, schema)
    lines = [file for file in files if file.format == "jsonl"]
    found, records = _sample_keys(lines)
    if records:
        _check(lines[0].name, needed, list(found))
    return kept.settle()


def _check(file: str, needed: dict[str, str], present: list[str]) -> None:
    for name, key in needed.items():
        if name not in present:
            known = ", ".join(shortened(repr(column)) for column in present[:_MOST_NAMED]) or "none"
            others = len(present) - _MOST_NAMED
            more = f" and {others:,} more" if others > 0 else ""
            raise ConfigError(f"{key}: no column {name!r} in {file}; its columns are {known}{more}")


def _sample_keys(files: list[InputFile]) -> tuple[dict[str, None], int]:
    """The keys of the first records, in order, and how many records there were."""
    keys: dict[str, None] = {}
    records = 0
    for file in files:
        first, lines, good = b"", 0, 0
        for line in _head(file):
            first, lines = first or line.lstrip(), lines + 1
            try:
                keys |= dict.fromkeys(parse_line(line))
            except RowError:
                continue
            good += 1
        if first.startswith(b"[") and 2 * good < lines:
            raise ConfigError(
                f"input.path: {file.name}: this is a JSON array, not JSON Lines with one object a line; "
                f"turn it into lines, for example with: jq -c '.[]' {file.name}"
            )
        records += good
        if records >= SAMPLE_LINES:
            break
    return keys, records


def _first_records(file: InputFile) -> Iterator[dict[str, Any]]:
    """The first SAMPLED_RECORDS of a file, fewer if it begins with lines that are none."""
    for line in _head(file, SAMPLED_RECORDS):
        with suppress(RowError):
            yield parse_line(line)


def _head(file: InputFile, most: int = SAMPLE_LINES) -> Iterator[bytes]:
    """The first lines of a file, without those that are too long."""
    try:
        for number, line in enumerate(split_lines(read_file(file))):
            if number == most:
                return
            if line is not None:
                yield line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line
    except BrokenStream:
        return
