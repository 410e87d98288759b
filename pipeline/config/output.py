"""Sections `router`, `output` and `errors`: what a job leaves behind, and when it counts as failed."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pipeline.config.section import Location, PositiveInt, Section, distinct

# In quarantine, of one shard; with more, the model or the machine is likely to be broken, and the job fails.
MAX_CRASHED_ROWS = 8


class RouterSection(Section):
    """What is counted of the router's choices."""

    statistics: bool = Field(
        default=True,
        description="Count which experts the router chooses: tables of the whole job, by group.",
        examples=[False],
    )
    per_row: bool = Field(
        default=True,
        description="Also write each row's own counts, into its columns `router_*`.",
        examples=[False],
    )
    trace_fraction: float = Field(
        default=0.0,
        ge=0.0,
        le=0.0,
        description="Reserved: traces of single tokens are not built yet.",
        examples=[0.0],
    )


class OutputSection(Section):
    """Where the results go, and which columns are added to them."""

    path: Location = Field(
        description="The output folder: a folder that all machines share, `s3://` or `gs://`. It holds one "
        "job.",
        examples=["out/tickets", "s3://support/labels/2026-04-01"],
    )
    include: Annotated[list[Literal["prompt", "token_ids", "prompt_token_ids"]], AfterValidator(distinct)] = (
        Field(
            default=[],
            description="Columns to add: the prompt's text, the generated token ids, the prompt's token ids.",
            examples=[["prompt"]],
            json_schema_extra={"uniqueItems": True},
        )
    )


class ErrorsSection(Section):
    """How many errors a job may have."""

    max_error_rate: float = Field(
        default=0.05,
        ge=0.0,
        le=1.0,
        description="Share of error rows above which the job ends with exit code 3. All rows are published "
        "all the same.",
        examples=[0.001],
    )
    max_attempts: PositiveInt = Field(
        default=3,
        description="Once a shard's process has died one time less than this (but at least once), the "
        "shard's rows are run in ever smaller pieces, to find the row that kills.",
        examples=[5],
    )
    max_crashed_rows: PositiveInt = Field(
        default=MAX_CRASHED_ROWS,
        description="Rows of one shard that may kill their process and become `WORKER_CRASH`. With more, the "
        "model or the machine is likely to be broken, and the job fails.",
        examples=[20],
    )
