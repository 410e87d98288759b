"""What a job does with each row: the contract of a task.

A task is one file of `pipeline/tasks/`, or of another package. It holds the task's section of the job file,
asks the model for each row, and says what becomes of the answer. All other files ask the task; none compares
its name. `docs/adding-a-task.md` goes through an example, and `pipeline/registered_tasks.py` lists all tasks.
"""

from abc import ABC, abstractmethod
from collections.abc import Container, Mapping, Sequence
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar

import pyarrow as pa
from pydantic import BaseModel

from model.config import ModelConfig
from model.trained_head import HeadKind
from pipeline.row_requests import RowRequests

Column = tuple[str, pa.DataType]
SectionModel = TypeVar("SectionModel", bound=BaseModel)
# Whether a prompt ends in the end of the sequence: never, since an answer is asked for behind it; as
# the tokenizer has it behind plain texts; or always.
Closed = Literal["never", "as_tokenizer", "always"]


class Task(ABC, Generic[SectionModel]):
    """A task of one job. It is made from its section alone, so that any process can have one."""

    section_name: ClassVar[str]  # its key in the job file
    section_model: ClassVar[type[BaseModel]]
    input_columns: Mapping[str, str] = {}  # columns that must exist, each with the key that names it
    token_ids: Mapping[str, Sequence[int]] = {}  # that the model must have, each with the key that names it
    heads: ClassVar[frozenset[HeadKind]] = frozenset({HeadKind.LANGUAGE})  # of checkpoints that can do it
    own_prompts: ClassVar[bool] = False  # its section says what prompts are made of, and not input.prompt
    # Whether a row has several prompts, which `prompts` makes: then the row's token ids are those with which
    # all of them begin, and behind these the rest of each.
    several_prompts: bool = False
    given_names: frozenset[str] = frozenset()  # names in the template that stand for no column
    generates: ClassVar[bool] = False  # whether rows have generated tokens, and so columns about them
    columns: Sequence[Column] = ()  # of the output, behind the columns of every job
    last_columns: Sequence[Column] = ()  # behind those of output.include
    included: ClassVar[Sequence[Column]] = ()  # further columns that output.include may name
    report_keys: Sequence[str] = ()  # of report.json, see `report`

    def __init__(self, section: SectionModel) -> None:
        self.section = section

    @classmethod
    def required_keys(cls) -> list[str]:
        """Keys that the section must have. Without any, a job file may leave the section out."""
        return [key for key, field in cls.section_model.model_fields.items() if field.is_required()]

    @classmethod
    def check(cls, section: SectionModel, kept_columns: Container[str]) -> None:
        """ValueError if the section does not fit the job's input.keep, by the names in the output."""
        return

    @property
    def needs_tokenizer(self) -> bool:
        """Whether a job whose prompts are token ids needs the checkpoint's tokenizer all the same."""
        return True

    @property
    def closed(self) -> Closed:
        """Whether prompts end in the end of the sequence."""
        return "never"

    def for_model(self, model: ModelConfig) -> Self:
        """The task with a checkpoint of this configuration, on which its columns may depend.

        ConfigError if the checkpoint can't do it, beyond what `heads` says.
        """
        return self

    def row_params(self, record: Mapping[str, Any], prompt_tokens: int, context: int) -> str | None:
        """A row's parameters as `RowRequests.start` takes them; RowError if the row's own are not valid."""
        return None

    def prompt_params(
        self, record: Mapping[str, Any], token_ids: Sequence[int], text: str | None, context: int
    ) -> str | None:
        """The same, for a task that needs more of the prompt than its length.

        `text` is what the job gave, before the chat format; None where it gave token ids.
        """
        return self.row_params(record, len(token_ids), context)

    def prompts(self, section: Any, prompt_format: Any, vocab_size: int) -> Any:
        """The `pipeline.text.prompts.PromptBuilder` of the job's prompts; `section` is `input`.

        Only a task with `own_prompts` or `several_prompts` is asked for it.
        """
        raise NotImplementedError

    def with_prompts(self, prompts: Any) -> Self:
        """The task with the job's `PromptBuilder`, by which it may make prompts of its own.

        ConfigError if it can't.
        """
        return self

    @abstractmethod
    def requests(self, prompt_format: Any) -> RowRequests:
        """The task with the `pipeline.text.prompt_format.PromptFormat` of the job's prompts.

        It holds the checkpoint's tokenizer, and says what ends an answer; None if there is no tokenizer.
        ConfigError if the section does not fit it.
        """

    def known_and_right(self, rows: pa.Table) -> tuple[int, int]:
        """Of a shard's finished rows: how many have a known answer, and how many of those are right."""
        return 0, 0

    def measure(self, rows: pa.Table) -> dict[str, int]:
        """Further numbers of a shard's finished rows, by name. They are added up over all shards."""
        return {}

    def facts(self, totals: Mapping[str, int]) -> list[tuple[str, str]]:
        """What the report says of this task, each fact with its name.

        `totals` are over all rows: rows, prompt_tokens, generated_tokens, known, right, what `measure` gave.
        """
        return []

    def report(self, totals: Mapping[str, int]) -> dict[str, Any]:
        """The values of `report_keys` in report.json, which JSON must be able to hold; `totals` as above."""
        return {}

    def exhibits(self, totals: Mapping[str, int]) -> list[Any]:
        """Parts of the report's page, each a `pipeline.reporting.exhibit.Exhibit`; `totals` as above."""
        return []

    def warnings(self, totals: Mapping[str, int]) -> list[str]:
        """What makes the answers of the job doubtful as a whole, each in a sentence; `totals` as above."""
        return []
