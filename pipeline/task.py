"""What a job does with each row: the contract of a task, and the register of all tasks.

A task is one file of `pipeline/tasks/`, or of another package that lists it under the entry point group
`mixtray.tasks`. It holds the task's section of the job file, asks the model for each row, and says what
becomes of the answer. All other files ask the task; none compares its name. `docs/adding-a-task.md` goes
through an example.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, Generic, TypeVar

import pyarrow as pa
from pydantic import BaseModel

from model.requests.request import Completion, Request
from model.requests.row_routing import RowRouting
from pipeline.errors import ConfigError

ENTRY_POINTS = "mixtray.tasks"
# The tasks that mixtray brings, each under its name in job files. A new one is listed here.
BUILT_IN = {
    "generate": "pipeline.tasks.generate:Generate",
    "label": "pipeline.tasks.label:Label",
}

Column = tuple[str, pa.DataType]
SectionModel = TypeVar("SectionModel", bound=BaseModel)


@dataclass(frozen=True)
class Outcome:
    """How a row ended: with the values of the task's columns, or with an error."""

    error_code: str | None = None  # a RowErrorCode
    error_message: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)  # by column; a column without one is null
    routing: RowRouting | None = None


Finish = Callable[[Completion], Outcome]


class RowRequests(ABC):
    """A task with the tokenizer of the job's checkpoint: what it asks the engine for each row."""

    @abstractmethod
    def start(self, key: str, prompt_token_ids: list[int], params: str | None) -> tuple[Request, Finish]:
        """The request of one row, and what turns its completion into the row's outcome.

        `params` is what `Task.row_params` gave for the row.
        """

    def longest_prompt(self, context: int) -> int:
        """Tokens of the longest prompt in a model with that context.

        ConfigError if none leaves room for what the task puts behind it.
        """
        return context

    def cache_tokens(self, context: int) -> int:
        """Tokens of cache that the longest row may need, in a model with that context."""
        return context


class Task(ABC, Generic[SectionModel]):
    """A task of one job. It is made from its section alone, so that any process can have one."""

    section_name: ClassVar[str]  # its key in the job file
    section_model: ClassVar[type[BaseModel]]
    parameters: ClassVar[frozenset[str]] = frozenset()  # input columns by which a row sets its own parameters
    columns: Sequence[Column] = ()  # of the output, behind the columns of every job
    last_columns: Sequence[Column] = ()  # behind those of output.include
    free_names: frozenset[str] = frozenset()  # columns of other tasks whose names kept columns may have

    def __init__(self, section: SectionModel) -> None:
        self.section = section

    @classmethod
    def check(cls, section: SectionModel, kept_columns: Sequence[str]) -> None:
        """ValueError if the section does not fit the job's input.keep."""
        return

    @property
    def needs_tokenizer(self) -> bool:
        """Whether a job whose prompts are token ids needs the checkpoint's tokenizer all the same."""
        return True

    def row_params(self, record: Mapping[str, Any], prompt_tokens: int, context: int) -> str | None:
        """A row's parameters as `RowRequests.start` takes them; RowError if the row's own are not valid."""
        return None

    @abstractmethod
    def requests(self, tokenizer: Any, chat: bool) -> RowRequests:
        """The task with a checkpoint's `pipeline.text.tokenization.Tokenizer`, or None if it has none.

        `chat` tells whether prompts are in the checkpoint's chat format. ConfigError if the section does not
        fit the tokenizer.
        """

    def known_and_right(self, rows: pa.Table) -> tuple[int, int]:
        """Of a shard's finished rows: how many have a known answer, and how many of those are right."""
        return 0, 0

    def facts(self, known: int, right: int, generated_tokens: int) -> list[tuple[str, str]]:
        """What the report says of this task, each fact with its name; the counts are of all rows."""
        return []


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


def built_in_tasks() -> list[type[Task[Any]]]:
    return [tasks()[name] for name in BUILT_IN]


def parameter_columns() -> frozenset[str]:
    """Input columns by which rows of any task may set their own parameters."""
    return frozenset().union(*(task.parameters for task in tasks().values()))


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
