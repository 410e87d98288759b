"""That a job never reads what it writes: its input and its output folder lie apart."""

import glob
import os
from collections.abc import Iterable
from functools import cache

from fsspec.implementations.local import LocalFileSystem

from pipeline.config.job import JobConfig
from pipeline.durable.commit import EMPTY_TABLE
from pipeline.errors import ConfigError
from pipeline.reading.files import InputFile
from pipeline.reading.glob_pattern import GlobPattern
from pipeline.storage.credentials import named
from pipeline.storage.output_folder import EXAMPLES, PARTS, within
from pipeline.storage.urls import local_path

_WRITTEN = (*EXAMPLES, EMPTY_TABLE)
_SAME_KIND = {"s3a": "s3", "gcs": "gs"}


def require_apart(config: JobConfig) -> None:
    """ConfigError if an input path and the output folder overlap, by links and relative paths too.

    No folder is listed: what does not exist yet counts as well.
    """
    output = _real(_absolute(config.output.path))
    written = named(config.output.path)
    for given in config.input.path:
        path = _absolute(given)
        pattern = _pattern(path)
        base = pattern.base if pattern else path
        place = _real(base)
        if within(place, output):
            raise _in_the_output(given, written)
        if not within(output, place):
            continue
        if pattern is None:
            raise ConfigError(
                f"output.path: {written} lies in input.path {named(given)}, so that the job would read what "
                "it has written; choose a folder that is not in it"
            )
        inner = f"{base}{output[len(place.rstrip('/')) :]}"
        names_parts = PARTS in pattern.below and pattern.leads_through(f"{inner}/{PARTS}")
        if names_parts or any(pattern.matches(f"{inner}/{example}") for example in _WRITTEN):
            raise ConfigError(
                f"input.path: {named(given)} would take what the job writes into output.path {written}; "
                "choose a folder, or a glob, that leaves the other out"
            )


def require_no_own_output(config: JobConfig, files: Iterable[InputFile]) -> None:
    """ConfigError for a file of the input that lies in the output folder, as a link can have it."""
    output = _real(_absolute(config.output.path))
    real_folder = cache(_real)  # of many files
    for file in files:
        folder, _, name = _absolute(file.file).rpartition("/")
        linked = "://" not in folder and os.path.islink(file.file)
        place = _real(file.file) if linked else f"{real_folder(folder).rstrip('/')}/{name}"
        if within(place, output):
            raise _in_the_output(file.name, named(config.output.path))


def _in_the_output(given: str, output: str) -> ConfigError:
    return ConfigError(
        f"input.path: {named(given)} lies in output.path {output}, which holds what the job writes and "
        "nothing else; leave it out, or choose another output.path"
    )


def _absolute(given: str) -> str:
    """A local path from the root on, or a URL whose kind has one name."""
    kind, _, rest = given.partition("://")
    if not rest or kind in LocalFileSystem.protocol:
        return local_path(given)
    return f"{_SAME_KIND.get(kind, kind)}://{rest.rstrip('/')}"


def _real(path: str) -> str:
    """The same for all names of one local place."""
    return path if "://" in path else os.path.realpath(path or "/")


def _pattern(path: str) -> GlobPattern | None:
    """The glob, unless a local file or folder has this very name."""
    if not glob.has_magic(path) or ("://" not in path and os.path.lexists(path)):
        return None
    try:
        return GlobPattern(path)
    except ValueError:  # the listing says so
        return None
