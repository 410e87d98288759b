"""Section `errors`: how many errors a job may have before it counts as failed."""

from pydantic import Field

from pipeline.config.section import PositiveInt, Section

# Rows of one shard that may crash. With more, the model or the machine is likely to be broken: the job fails.
MAX_CRASHED_ROWS = 8


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
