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
        "token ids.",
        examples=[["prompt"]],
        json_schema_extra={"uniqueItems": True},
    )
