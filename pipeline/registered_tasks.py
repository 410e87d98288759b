"""All tasks by name: those that mixtray brings, and those of installed packages.

A package lists its tasks under the entry point group `mixtray.tasks`, which drivers and workers both read.
"""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pipeline.errors import ConfigError
from pipeline.task import Task

ENTRY_POINTS = "mixtray.tasks"
# The tasks that mixtray brings, each under its name in job files. A new one is listed here.
BUILT_IN = {
    "generate": "pipeline.tasks.generate:Generate",
    "label": "pipeline.tasks.label:Label",
    "score": "pipeline.tasks.score:Score",
    "classify": "pipeline.tasks.classify:Classify",
    "tag": "pipeline.tasks.tag:Tag",
    "answer": "pipeline.tasks.answer:Answer",
    "embed": "pipeline.tasks.embed:Embed",
}


@cache
def tasks() -> Mapping[str, type[Task[Any]]]:
    """All tasks by name: built-in ones first, then those of installed packages.

    ConfigError if a package's task cannot be loaded, or has the name or the section of another.
    """
    found: dict[str, type[Task[Any]]] = {}
    for point in [EntryPoint(name, value, ENTRY_POINTS) for name, value in BUILT_IN.items()]:
        found[point.name] = point.load()
    for point in entry_points(group=ENTRY_POINTS):
        task = _loaded(point)
        for other, known in found.items():
            if point.name == other or task.section_name == known.section_name:
                raise ConfigError(f"{_described(point)}: its name or its section is that of task {other}")
        found[point.name] = task
    return found


def _loaded(point: EntryPoint) -> type[Task[Any]]:
    try:
        task = point.load()
    except Exception as error:
        raise ConfigError(
            f"{_described(point)}: cannot be loaded ({type(error).__name__}: {error})"
        ) from error
    if not (isinstance(task, type) and issubclass(task, Task)):
        raise ConfigError(f"{_described(point)}: must be a class derived from pipeline.task.Task")
    return task


def _described(point: EntryPoint) -> str:
    package = f" of package {point.dist.name}" if point.dist else ""
    return f"task {point.name}{package} ({point.value})"
