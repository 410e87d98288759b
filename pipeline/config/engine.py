"""Section `engine`: how many replicas, what each may take, and whether results are the same to the bit."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pipeline.config.section import Auto, PositiveInt, Section


def _in_order(bounds: dict[str, int]) -> dict[str, int]:
    if bounds.keys() != {"min", "max"} or bounds["min"] > bounds["max"]:
        raise ValueError(f"must be a number, auto or {{min: a, max: b}} with a up to b, got {bounds}")
    return bounds


Bounds = Annotated[dict[Literal["min", "max"], PositiveInt], AfterValidator(_in_order)]


class EngineSection(Section):
    """How the model is run. Most jobs leave all of it out."""

    device: Literal["auto", "gpu", "cpu"] = Field(
        default="auto",
        description="`gpu`: on a cluster that was joined the job asks for GPUs and waits until they come; "
        "without a cluster a machine that has none is an error. `auto`: GPUs if a node of the cluster has "
        "any or its autoscaler is known to offer them, else CPUs. `cpu`: CPUs, whatever the cluster has.",
        examples=["gpu"],
    )
    replicas: PositiveInt | Auto | Bounds = Field(
        default="auto",
        description="Copies of the model. `auto`: on GPUs as many as fit, and no more than there are shards; "
        "on CPUs one a core, as far as memory goes and each has four shards and two batches of rows. "
        "`{min: a, max: b}`: on GPUs the job begins once `a` have room and takes nodes that come later, for "
        "up to `b`; on CPUs what `auto` takes, within these bounds. A number is both.",
        examples=[4, {"min": 2, "max": 8}],
    )
    threads: Annotated[int, Field(gt=0, le=1 << 12)] | Auto = Field(
        default="auto",
        description="CPU threads of a replica, or of each of its `model.tensor_parallel` ranks. `auto`: the "
        "node's cores, shared out among its replicas and ranks. On GPUs it is always 1.",
        examples=[8],
    )
    max_batch_rows: Annotated[int, Field(gt=0, le=1 << 16)] | Auto = Field(
        default="auto",
        description="Rows that a replica decodes together at most. `auto`: 128 on CPUs, 256 on GPUs.",
        examples=[64],
    )
    kv_cache_tokens: PositiveInt | Auto = Field(
        default="auto",
        description="Tokens that a replica's key/value cache holds; the longest row there can be must fit. "
        "`auto`: the whole context for `max_batch_rows` rows, or less where memory is short.",
        examples=[100_000],
    )
    deterministic: Literal["none", "shard"] = Field(
        default="none",
        description="`shard`: a shard's file gets the same bytes whatever was killed and however many "
        "replicas there are, on CPUs of one kind, since each shard runs alone in its replica. It costs "
        "speed, less for large shards. `auto` then means 1 thread, 128 rows, and 65,536 tokens of cache, or "
        "the longest row's; a later run may change neither these nor `model.tensor_parallel`.",
        examples=["shard"],
    )
    progress_deadline_s: float = Field(
        default=300.0,
        ge=1,  # a watched process tells of its progress a few times a second
        le=604_800,  # a week: clocks and timeouts of the system take no number of seconds, however large
        description="Seconds without progress after which a process counts as dead: a replica that made no "
        "step, or a process of a Ray task that stood still. It is killed and started anew.",
        examples=[60],
    )

    @property
    def replica_bounds(self) -> tuple[int, int | None]:
        """How many replicas at least and at most; None: as many as suit the cluster and the job."""
        if isinstance(self.replicas, dict):
            return self.replicas["min"], self.replicas["max"]
        return (self.replicas, self.replicas) if isinstance(self.replicas, int) else (1, None)
