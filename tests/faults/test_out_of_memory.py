"""Too little memory, on the device and on the machine: only the rows that need too much end as errors."""

import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from ray import cloudpickle

from model.engine import Engine
from model.requests.readout import Head
from pipeline.config.job import JobConfig
from pipeline.replicas.load_engine import ReplicaOptions
from pipeline.replicas.replica import Replica
from pipeline.run import run

pytestmark = pytest.mark.usefixtures("local_ray")
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers can't import a test

MakeConfig = Callable[..., JobConfig]
GREEDY = 31_999
DEVICE_TOKENS = 24


class LittleDevice(Replica):
    """Its accelerator holds no more than DEVICE_TOKENS at once."""

    def load_engine(self, options: ReplicaOptions) -> Engine:
        engine = super().load_engine(options)
        model = engine.ranks.local.model
        hidden = model.hidden

        def bounded(token_ids: torch.Tensor, *rest: Any) -> torch.Tensor:
            if len(token_ids) > DEVICE_TOKENS:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return hidden(token_ids, *rest)

        model.hidden = bounded  # type: ignore[method-assign]
        return engine


class LittleMachine(Replica):
    """Its process may take 8 GiB more than the engine; a prompt that ends with GREEDY takes twice that."""

    def load_engine(self, options: ReplicaOptions) -> Engine:
        engine = super().load_engine(options)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + (8 << 30)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        forward = engine.ranks.forward

        def greedy(batch: Any) -> dict[Head, torch.Tensor]:
            if any(row.token_ids[-1] == GREEDY for row in batch.rows):
                torch.empty(16 << 30, dtype=torch.uint8)
            return forward(batch)

        engine.ranks.forward = greedy  # type: ignore[method-assign]
        return engine


def errors_of(config: JobConfig) -> dict[int, str]:
    """Error codes by row, of a job whose every row came out once."""
    table = pd.read_parquet(Path(config.output.path) / "generations").sort_values("row", ignore_index=True)
    assert list(table["row"]) == list(range(len(table)))
    assert len(table) == Path(config.input.path[0]).read_bytes().count(b"\n")
    return dict(table["error_code"].dropna())


@pytest.mark.slow
def test_on_the_device_smaller_batches_are_tried_and_a_row_that_fails_alone_is_an_error(
    make_config: MakeConfig,
) -> None:
    rows: list[dict[str, Any]] = [{"ids": [1, 2 + i, 3 + i]} for i in range(60)]
    rows[17]["ids"], rows[31]["ids"] = [4] * 100, [5] * (DEVICE_TOKENS + 1)
    config = make_config(rows, generation={"max_new_tokens": 3})
    run(config, LittleDevice)
    assert errors_of(config) == {17: "OUT_OF_MEMORY", 31: "OUT_OF_MEMORY"}


@pytest.mark.timeout(280)
@pytest.mark.slow
def test_on_the_machine_the_process_ends_and_the_row_that_did_it_is_found(make_config: MakeConfig) -> None:
    rows = [{"ids": [1, 2 + i, GREEDY if i == 5 else 3]} for i in range(40)]
    config = make_config(
        rows, input={"shard_rows": 4}, generation={"max_new_tokens": 2}, errors={"max_attempts": 2}
    )
    run(config, LittleMachine)
    assert errors_of(config) == {5: "WORKER_CRASH"}
