"""Section `input`: which files, what of a row is the prompt, and what is carried into the output."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from pipeline.config.section import Auto, Location, PositiveInt, Section, as_list, distinct


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
        description="The files: a path, a glob, a folder, an fsspec URL, or a list of them.",
        examples=["data/tickets/*.jsonl", ["s3://lake/2026-04-01/", "s3://lake/2026-04-02/"]],
    )
    format: Literal["auto", "jsonl", "parquet"] = Field(
        default="auto",
        description="`auto` goes by each file's name: `.jsonl`, `.json` or `.ndjson`, which may end in `.gz` "
        "or `.zst`; or `.parquet`. The `.json` files too hold one object a line.",
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
        description="The column with each row's id, a text or an integer. Without it a row's id is "
        "`<file>#<row>`.",
        examples=["id"],
    )
    keep: Annotated[list[str], AfterValidator(distinct)] = Field(
        default=[],
        description="Columns that are carried into the output under their own names. Those of Parquet keep "
        "their type; with any JSONL among the files all become text.",
        examples=[["language", "queue"]],
        json_schema_extra={"uniqueItems": True},
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
