"""Section `input`: which files, what of a row is the prompt, and what is carried into the output."""

from collections.abc import Container
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from pipeline.config.keep import ALL, AnyName, Keep, TypeName
from pipeline.config.section import Auto, Location, PositiveInt, Section, as_list


class PromptSource(Section):
    """Where a row's prompt comes from: exactly one of these keys."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": [key], "properties": {key: {"type": "string"}}}
                for key in ("template", "column", "messages", "token_ids")
            ]
        }
    )
    template: str | None = Field(
        default=None,
        description="A Jinja template over the row's columns, which makes the prompt's text.",
        examples=["Which queue is this ticket for: billing or shipping?\n{{ ticket }}"],
    )
    column: str | None = Field(
        default=None, description="A column with the prompt's text.", examples=["text"]
    )
    messages: str | None = Field(
        default=None,
        description="A column with a conversation: a list of `{role, content}`. The checkpoint must have a "
        "chat format.",
        examples=["messages"],
    )
    token_ids: str | None = Field(
        default=None,
        description="A column with lists of token ids, which are taken as they are.",
        examples=["input_ids"],
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> "PromptSource":
        given = [name for name, value in self if value is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ValueError(f"give exactly one of template, column, messages, token_ids (found: {found})")
        return self


class InputSection(Section):
    """The rows, and their way into prompts."""

    path: Annotated[
        list[Location],
        BeforeValidator(as_list, json_schema_input_type=str | list[str]),
        Field(min_length=1),
    ] = Field(
        description="The files: a path, a glob, a folder, an fsspec URL, or a list of them. Links are "
        "followed.",
        examples=["data/tickets/*.jsonl", ["s3://lake/2026-04-01/", "s3://lake/2026-04-02/"]],
    )
    format: Literal["auto", "jsonl", "parquet"] = Field(
        default="auto",
        description="`auto` goes by each file's name: `.jsonl`, `.json` or `.ndjson`, which may end in "
        "`.gz`, `.zst`, `.bz2` or `.xz`; or `.parquet`. Upper case is the same. The `.json` files too hold "
        "one object a line.",
        examples=["parquet"],
    )
    prompt: PromptSource = Field(
        description="Where a row's prompt comes from: exactly one of `template`, `column`, `messages` and "
        "`token_ids`.",
        examples=[{"template": "Which queue?\n{{ ticket }}"}],
    )
    chat: bool | Auto = Field(
        default="auto",
        description="Whether prompts are put into the checkpoint's chat format. `auto`: if the checkpoint is "
        "an instruct one. Token ids are always taken as they are.",
        examples=[True],
    )
    chat_template: str | None = Field(
        default=None,
        description="A chat template in place of the checkpoint's own: Jinja, inline or the path of a file, "
        "over `messages`, `bos_token`, `eos_token` and `add_generation_prompt` as in `transformers`.",
        examples=["templates/chatml.jinja"],
    )
    id_column: str | None = Field(
        default=None,
        description="The column with each row's id, a text or an integer; the output's `id` is text. Without "
        "it a row's id is `<file>#<row>`.",
        examples=["id"],
    )
    keep: Keep = Field(
        default={},
        description="Columns that are carried into the output: a list of names; a mapping of new names to "
        'names in the input; `"*"` for all. Those of Parquet keep their type. Values of JSONL become '
        "numbers, booleans, lists or texts, see [kept columns](output.md#kept-columns).",
        examples=[["language", "queue"], {"topic": "queue"}, "*"],
    )
    keep_types: dict[str, TypeName] = Field(
        default={},
        description="Types of kept columns, by their names in the output: `string`, `int64`, `float64`, "
        "`bool` or `list<...>` of one. A column of JSONL that is not named here gets the type of its first "
        "1,000 values in each file. A value that does not fit goes into `kept_unfit`.",
        examples=[{"queue": "string"}],
    )
    limit: PositiveInt | None = Field(
        default=None,
        description="Only the first rows are run, so many; to try a job out. The whole job then needs an "
        "`output.path` of its own.",
        examples=[100],
    )
    allow_empty: bool = Field(
        default=False,
        description="Whether there may be nothing to do: a path without a file, or files without a row. The "
        "job is then done at once, with tables of no row, and `run --extend` adds the files that come. "
        "Without it that is an error.",
        examples=[True],
    )
    group_by: str | None = Field(
        default=None,
        description="A column: router statistics are kept apart by its values. Of more than 256 groups the "
        "smaller ones are counted together as `(other)`.",
        examples=["language"],
    )
    shard_rows: PositiveInt = Field(
        default=2048,
        description="Rows of a shard at most. A shard is what is committed as one file, and what has to be "
        "computed again after a kill.",
        examples=[500],
    )

    @property
    def keeps_all(self) -> bool:
        """Whether columns are kept that `keep` does not name."""
        return ALL in self.keep

    @property
    def kept_by_name(self) -> dict[str, str]:
        """The columns that `keep` names: the name in the output, and the one in the input."""
        return {new: old for new, old in self.keep.items() if new != ALL}

    @property
    def kept_names(self) -> Container[str]:
        """The names of kept columns in the output; any name that columns may have where all are kept."""
        return AnyName() if self.keeps_all else self.keep

    @model_validator(mode="after")
    def _types_are_of_kept_columns(self) -> "InputSection":
        strange = [] if self.keeps_all else sorted(self.keep_types.keys() - self.keep.keys())
        if strange:
            kept = ", ".join(self.keep) or "none"
            raise ValueError(f"keep_types: {', '.join(strange)} is not kept; kept columns are {kept}")
        return self
