"""Section `router`: what is counted of the router's choices."""

from pydantic import Field

from pipeline.config.section import Section


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
