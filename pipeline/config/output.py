"""Section `output`: where the results go, and which columns are added to them."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field

from pipeline.config.section import Location, Section, distinct
from pipeline.registered_tasks import tasks

INCLUDED = ("prompt", "prompt_token_ids")  # what jobs of every task may include


def _all_included() -> dict[str, None]:
    """The columns of INCLUDED, and those that single tasks offer."""
    of_tasks: list[type[Any]] = [*tasks().values()]
    return dict.fromkeys([*INCLUDED, *(name for task in of_tasks for name, _ in task.included)])


if TYPE_CHECKING:
    Included = str
else:
    Included = Literal[tuple(_all_included())]


class HiddenStatesSection(Section):
    """Hidden states of a sample of rows, in files of their own: `hidden_states/part-*.parquet`."""

    layers: Annotated[list[int], Field(min_length=1, max_length=1024)] = Field(
        default=[-1],
        description="Which hidden states, as transformers numbers them: 0 are the embeddings, n is what the "
        "n-th layer puts out, the last one stands behind the final norm. -1 and so on count from the end.",
        examples=[[-1], [0, 16, 32]],
    )
    rows: Annotated[int, Field(gt=0, le=1_000_000)] = Field(
        default=100,
        description="How many rows of the input that the job begins with, spread evenly over its shards; "
        "files that `run --extend` adds have as many in each shard. Each costs a second pass over its "
        "prompt.",
        examples=[1000],
    )


class OutputSection(Section):
    """Where the results go, and which columns are added to them."""

    path: Location = Field(
        description="The output folder: a folder that all machines share, `s3://` or `gs://`. It holds one "
        "job, and neither lies in the input nor the input in it.",
        examples=["out/tickets", "s3://support/labels/2026-04-01"],
    )
    include: Annotated[list[Included], AfterValidator(distinct)] = Field(
        default=[],
        description="Columns to add: the prompt's text, its token ids; with task generate the generated "
        "token ids; with task score the log-probability of each scored token.",
        examples=[["prompt"]],
        json_schema_extra={"uniqueItems": True},
    )
    hidden_states: HiddenStatesSection | None = Field(
        default=None, description="Hidden states of chosen layers, for a sample of rows."
    )
