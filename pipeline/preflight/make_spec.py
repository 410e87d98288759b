"""What makes a job the job it is: its spec, made of all that its rows depend on.

A second run may change what affects only time or memory; the spec leaves it out: where the checkpoint and the
output lie, how many replicas there are, how large the batches are.

The store keeps a spec with sorted keys. So the order in which people wrote a mapping, such as a score's
levels from the lowest one up, is a part of its own: `orders`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from pipeline.config.job import JobConfig
from pipeline.durable.job_spec import FORMAT_VERSION
from pipeline.registered_tasks import tasks

FREE = (
    "job",
    "model.path",
    "model.adapter",
    "input.allow_empty",
    "engine.replicas",
    "engine.progress_deadline_s",
    "output.path",
    "errors",
)
# They change only the last bits of results, so they are free unless engine.deterministic is shard.
FREE_BUT_FOR_BITS = (
    "engine.device",
    "model.tensor_parallel",
    "model.attention",
    "engine.threads",
    "engine.max_batch_rows",
    "engine.kv_cache_tokens",
)


def make_spec(config: JobConfig, checkpoint_fingerprint: str, tokenizer_fingerprint: str) -> dict[str, Any]:
    """The spec of a job, as values that JSON can hold."""
    data = config.model_dump(mode="json")
    own = tasks()[config.task]
    for task in tasks().values():
        if task is not own:  # a job is the same whatever else is installed
            del data[task.section_name]
    free = {*FREE} if config.engine.deterministic == "shard" else {*FREE, *FREE_BUT_FOR_BITS}
    if config.model.quantization != "none":
        free.discard("model.tensor_parallel")  # each rank quantizes its own share of a row
    orders = {
        key: names
        for key, names in _orders(config)
        if key.partition(".")[0] in data and not any(f"{key}.".startswith(f"{one}.") for one in free)
    }
    for key in free:
        *sections, last = key.split(".")
        section = data
        for name in sections:
            section = section[name]
        section.pop(last)
    return {
        "format_version": FORMAT_VERSION,
        "config": data,
        "orders": orders,
        "checkpoint": checkpoint_fingerprint,
        "tokenizer": tokenizer_fingerprint,
    }


def _orders(section: BaseModel, begin: str = "") -> Iterator[tuple[str, list[str]]]:
    """The names in each mapping of several that people wrote, by the dotted key of the mapping."""
    for name, value in section:
        found = {name: value}
        if isinstance(value, Mapping):
            if len(value) > 1:
                yield f"{begin}{name}", [*value]
            found = {f"{name}.{one}": item for one, item in value.items()}
        for key, one in found.items():
            if isinstance(one, BaseModel):
                yield from _orders(one, f"{begin}{key}.")
