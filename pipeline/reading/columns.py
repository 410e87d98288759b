"""Which input columns a job needs, and a check that they are there before anything loads."""

import logging
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

from pipeline.config.input import InputSection
from pipeline.errors import ConfigError, shortened, shown
from pipeline.reading.files import InputFile
from pipeline.reading.first_records import batch_file_hint, first_keys, first_records
from pipeline.reading.kept_types import SAMPLED_RECORDS, KeptBefore, KeptTypes
from pipeline.reading.parquet import read_schema
from pipeline.reading.template_slips import braces_of_columns, require_variable
from pipeline.task import Task
from pipeline.text.row_template import read_names
from pipeline.text.template_names import ROW, TemplateNames

logger = logging.getLogger(__name__)
_MOST_NAMED = 50


def required_columns(section: InputSection, task: Task[Any] | None = None) -> dict[str, str]:
    """Columns that must exist, each with the key of the job file that asks for it."""
    prompt, names = section.prompt, _template_names(section)
    needed = dict.fromkeys(sorted(names.needed | names.needed_of_row), "input.prompt.template")
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


def columns_to_read(section: InputSection, task: Task[Any] | None = None) -> list[str] | None:
    """The required columns, and those that a template can do without. None: all that there are."""
    names = _template_names(section)
    if section.keeps_all or names.whole_row:
        return None
    return list(dict.fromkeys([*required_columns(section, task), *sorted(names.read)]))


def columns_of_no_record(section: InputSection, present: Iterable[str]) -> list[str]:
    """Columns that the template can do without, and that none of the records looked at has.

    `present` are the names of all columns of those records. A name that was mistyped would be among these.
    """
    names = _template_names(section)
    return sorted((names.optional | names.optional_of_row) - set(present))


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
    kept = KeptTypes(section, before)
    present: dict[str, None] = {}
    for file in files:
        if file.format == "jsonl":
            if section.keep and not before:
                kept.add_jsonl(first_records(file, SAMPLED_RECORDS))
            continue
        schema = read_schema(file)
        _check(file.name, section, task, dict.fromkeys(schema.names))
        _require_distinct(file.name, schema.names, columns_to_read(section, task))
        kept.add_parquet(file.name, schema)
        present |= dict.fromkeys(schema.names)
    lines = [file for file in files if file.format == "jsonl"]
    if found := first_keys(lines):
        _check(lines[0].name, section, task, found)
    _point_out_slips(section, [*present, *found])
    return kept.settle()


def _template_names(section: InputSection) -> TemplateNames:
    template = section.prompt.template
    return TemplateNames() if template is None else read_names(template)


def _require_distinct(file: str, names: Collection[str], wanted: Collection[str] | None) -> None:
    for name, times in Counter(names).items():
        if times > 1 and (wanted is None or name in wanted):
            raise ConfigError(f"input.path: {shown(file)} has more than one column {name!r}; rename them")


def _check(file: str, section: InputSection, task: Task[Any] | None, present: dict[str, None]) -> None:
    names = _template_names(section)
    of_row = names.needed_of_row - names.needed if ROW in present else frozenset()
    for name, key in required_columns(section, task).items():
        if name in present or (name in of_row and key == "input.prompt.template"):
            continue
        known = ", ".join(shortened(repr(column)) for column in [*present][:_MOST_NAMED]) or "none"
        others = len(present) - _MOST_NAMED
        more = f" and {others:,} more" if others > 0 else ""
        hint = batch_file_hint(present, file)
        raise ConfigError(f"{key}: no column {name!r} in {shown(file)}; its columns are {known}{more}{hint}")


def _point_out_slips(section: InputSection, present: Collection[str]) -> None:
    """ConfigError for a template that makes the same prompt of all rows.

    Warnings for `{column}` in one, and for a column that it can do without and that no record has.
    """
    template = section.prompt.template
    if template is None:
        return
    names = _template_names(section)
    if not names.read and not names.whole_row:
        require_variable(template, present)
    if present and (unseen := columns_of_no_record(section, present)):
        logger.warning(
            "input.prompt.template: no record looked at has %s, which the template does without",
            ", ".join(unseen),
        )
    for column in braces_of_columns(template, present):
        logger.warning(
            "input.prompt.template: {%s} is text there, and %s a column, whose value is printed by {{ %s }}",
            column,
            column,
            column,
        )
