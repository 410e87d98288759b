"""Whether kept columns may have the names that they have: those of the job's other columns are taken."""

from collections.abc import Collection
from typing import Any

from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError, shortened
from pipeline.reading.kept_types import kept_schema
from pipeline.rows.result_rows import reserved_names
from pipeline.task import Task


def check_kept_names(config: JobConfig, task: Task[Any], names: Collection[str]) -> None:
    """ConfigError if one of the names, as the output will have them, is a column of the output already."""
    clashing = sorted(reserved_names(config, task).intersection(names))
    if clashing:
        others = '"*": "*", ' if config.input.keeps_all else ""
        raise ConfigError(
            f"input.keep: {', '.join(clashing)} is a column of the output already; keep it under another "
            f"name, as in {{{others}my_{clashing[0]}: {clashing[0]}}}, or use input.id_column for an id"
        )


def check_found_names(config: JobConfig, task: Task[Any], kept: str) -> None:
    """ConfigError for the columns that `keep: "*"` found in the files, if the job cannot have them.

    `kept` is what `check_columns` returned.
    """
    if not config.input.keeps_all:
        return
    names = kept_schema(kept).names
    check_kept_names(config, task, names)
    try:
        task.check(task.section, names)
    except ValueError as error:
        raise ConfigError(f"{error}; those of the files are {shortened(', '.join(names), 500)}") from error
