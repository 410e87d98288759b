"""What a replica asks its engine before any row, where the task needs answers that hold for the whole job.

The engine gets these requests as it gets rows. Every replica asks, also one that then finds the answers of
another one in the output folder: so all engines of a job have computed the same before their first shard.
"""

from typing import Any

from model.engine import Engine
from pipeline.durable.first_answers import agree_on
from pipeline.durable.operations import execute
from pipeline.errors import ConfigError
from pipeline.row_requests import RowRequests
from pipeline.storage.store import Store

_FAILURES = {
    "nan_logits": "the model gave NaN: check the checkpoint, or set model.dtype: float32",
    "out_of_memory": "the device's memory did not suffice: lower engine.kv_cache_tokens, or raise "
    "model.tensor_parallel",
}


def first_answers(engine: Engine, requests: RowRequests) -> dict[str, Any]:
    """The engine's answers to `RowRequests.first_requests`, with their names; ConfigError if it has none."""
    wanted = requests.first_requests()
    completions = engine.run(wanted) if wanted else []
    for completion in completions:
        if completion.failure is not None:
            raise ConfigError(f"{completion.key}: {_FAILURES[completion.failure]}")
    return requests.name_first_answers([completion.answer for completion in completions]) if wanted else {}


def ask_first(engine: Engine, requests: RowRequests, store: Store) -> None:
    """Give `requests` the answers that hold for the whole job; nothing happens for a task that asks nothing.

    ConfigError if the model gives none, DamagedFile if those in the store are not what was written.
    """
    if answers := first_answers(engine, requests):
        requests.take_first_answers(execute(agree_on(answers), store))


def ask_alone(engine: Engine, requests: RowRequests) -> None:
    """The same without an output folder: for benchmarks and tests, whose rows one engine computes."""
    if answers := first_answers(engine, requests):
        requests.take_first_answers(answers)
