"""What a sample of hidden states comes to: which layers, and how many bytes.

m tokens of a prompt, K layers, D width.
"""

from collections.abc import Sequence
from typing import Any

from model.config import ModelConfig
from model.machine.budget import in_gib
from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError
from pipeline.task import Task

GROUP_BYTES = 64 << 20  # of states that a replica has in memory at a time, and that a file has; or one row's
_COPIES = 4  # of a group: the engine's, for the file, the file, and the file as it is sent


def hidden_layers(config: JobConfig, task: Task[Any], model: ModelConfig) -> list[int]:
    """Those of `output.hidden_states`, ascending and counted from 0; ConfigError for one that it lacks."""
    section, most = config.output.hidden_states, model.num_layers
    if section and task.several_prompts:
        raise ConfigError(
            "output.hidden_states: a row of this job has several prompts, and hidden states are of one: "
            "remove it, or write a job with a single prompt"
        )
    layers = section.layers if section else []
    for layer in layers:
        if not -most - 1 <= layer <= most:
            raise ConfigError(
                f"output.hidden_states.layers: a model of {most} layers has 0 to {most}, or {-most - 1} to "
                f"-1, got {layer}"
            )
    return sorted({layer % (most + 1) for layer in layers})


def state_bytes(layers: int, dim: int) -> int:
    """Of one token's states [K, D] in float32."""
    return layers * dim * 4


def states_facts(
    config: JobConfig, layers: Sequence[int], dim: int, rows: int, lengths: Sequence[int]
) -> list[tuple[str, str]]:
    """What `plan` says of the sample of a job of so many rows; `lengths`: tokens of prompts of it.

    Nothing if the job asks for no hidden states or no prompt was looked at.
    """
    section = config.output.hidden_states
    if section is None or not lengths:
        return []
    token, sampled = state_bytes(len(layers), dim), min(rows, section.rows)
    files = int(sampled * sum(lengths) / len(lengths) * token)
    memory = _COPIES * max(GROUP_BYTES, token * max(lengths))
    layers_of = f"{len(layers)} layer{'s' if len(layers) > 1 else ''}"
    words = f"{sampled:,} rows, {layers_of}: about {in_gib(files)} of files"
    return [("hidden states", f"{words}, and at most {in_gib(memory)} of a replica's memory")]
