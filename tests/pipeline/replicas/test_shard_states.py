"""Hidden states of a shard's sample, written by a replica's process, which a single row may kill."""

import asyncio
import json
import multiprocessing
import os
import signal
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from model.engine import Engine
from model.requests.request import Completion, Request
from model.sampling.sampling_params import SamplingParams
from pipeline.config.output import HiddenStatesSection
from pipeline.durable.try_shard import TryShard, try_shard, try_shard_deterministic
from pipeline.errors import RowError, RowErrorCode
from pipeline.replicas import hidden_states
from pipeline.replicas.hidden_states import HiddenStatesSample
from pipeline.replicas.replica import Replica
from pipeline.replicas.shard_runner import ShardRunner
from pipeline.replicas.shard_states import ShardStates
from pipeline.row_requests import Finish, Outcome, RowRequests
from pipeline.shards.shard import Shard
from pipeline.storage.open_store import open_store

ROWS, REFUSED, DEADLY, LAYERS = 8, 2, 5, [0, 2]
SMALL = 20 * len(LAYERS) * 32 * 4  # bytes of 20 tokens' states
SHARD = Shard(0, "0" * 16, "/in.jsonl", "in.jsonl", "etag", "jsonl", 0, ROWS, 0, 100)
PREPARED = [
    {"file": "in.jsonl", "row": i, "id": f"r{i}", "prompt_token_ids": [1, *range(3, 6 + i)], "params": None}
    for i in range(ROWS)
]


class OneToken(RowRequests):
    """Generates a token of every row, and refuses one row."""

    def start(self, key: str, prompt_token_ids: list[int], params: str | None) -> tuple[Request, Finish]:
        if key.endswith(f"#{REFUSED}"):
            raise RowError(RowErrorCode.BAD_PARAMETER, "refused")
        request = Request(key, prompt_token_ids, SamplingParams(max_new_tokens=1))
        return request, lambda completion: Outcome(values={"text": str(completion.token_ids)})


def run(engine: Engine, deadly: int | None, requests: list[Request]) -> "list[asyncio.Future[Completion]]":
    """The engine's completions. The hidden states of the row `deadly` kill the process."""
    if any(request.key == f"in.jsonl#{deadly} hidden states" for request in requests):
        os.kill(os.getpid(), signal.SIGKILL)
    futures = []
    for completion in engine.run(requests):
        futures.append(asyncio.get_running_loop().create_future())
        futures[-1].set_result(completion)
    return futures


def sample_of(engine: Engine) -> HiddenStatesSample:
    return HiddenStatesSample(HiddenStatesSection(rows=ROWS), LAYERS, engine.config.dim, 1)


def live(folder: Path, checkpoint: Path, way: TryShard) -> None:
    """A replica's process, from its engine to the outcomes of its one shard."""
    hidden_states.GROUP_BYTES = SMALL
    engine = Engine.load(checkpoint, "float32", threads=1, max_batch_rows=4, hidden_layers=LAYERS)
    replica: Any = Replica.__new__(Replica)
    replica._requests, replica._store = OneToken(), open_store(folder)
    replica._engine = SimpleNamespace(run=partial(run, engine, DEADLY))
    replica._sample, replica._one_group_at_a_time = sample_of(engine), asyncio.Lock()
    replica._shards = ShardRunner(replica._store, way, 3, replica._run_rows)
    outcomes = asyncio.run(replica._run_whole(SHARD, PREPARED))
    (folder / "outcomes.json").write_text(json.dumps([outcome.error_code for outcome in outcomes]))


@pytest.mark.parametrize(
    "way",
    [try_shard, pytest.param(try_shard_deterministic, marks=pytest.mark.slow)],  # six engines each
)
def test_a_row_whose_hidden_states_kill_is_found_and_costs_only_itself(
    way: Any, checkpoint: Any, tmp_path: Path
) -> None:
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__])
    deaths = 0
    while True:
        replica = processes.Process(target=live, args=(tmp_path, checkpoint.folder, partial(way, run="run")))
        replica.start()
        replica.join(60)
        if replica.exitcode == 0:
            break
        assert replica.exitcode == -signal.SIGKILL
        deaths += 1
        assert deaths <= 3 + 3, "at most max_attempts + log2(rows of the shard)"
    codes: list[str | None] = [None] * ROWS
    codes[REFUSED], codes[DEADLY] = "BAD_PARAMETER", "WORKER_CRASH"
    assert json.loads((tmp_path / "outcomes.json").read_text()) == codes
    check_states(tmp_path, checkpoint, [0, 1, 3, 4, 6, 7])
    assert len([*tmp_path.glob("hidden_states/*")]) > 2


def check_states(folder: Path, checkpoint: Any, rows: list[int]) -> None:
    """The files hold each of the rows once, with transformers' hidden states."""
    lines = [line for file in folder.glob("hidden_states/*") for line in pq.read_table(file).to_pylist()]
    assert sorted({line["row"] for line in lines}) == rows
    assert len(lines) == sum(len(PREPARED[row]["prompt_token_ids"]) for row in rows) * len(LAYERS)
    for row in rows:
        ids = torch.tensor([PREPARED[row]["prompt_token_ids"]])
        with torch.inference_mode():
            wanted = checkpoint.model.model(ids, output_hidden_states=True).hidden_states
        for line in lines:
            if line["row"] == row:
                at = wanted[line["layer"]][0, line["position"]].numpy()
                np.testing.assert_allclose(line["state"], at, atol=1e-4)


def test_groups_of_all_shards_are_computed_one_at_a_time_and_forgotten(
    checkpoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hidden_states, "GROUP_BYTES", SMALL)
    engine = Engine.load(checkpoint.folder, "float32", threads=1, hidden_layers=LAYERS)
    held: list[int] = []

    def watched(requests: list[Request]) -> "list[asyncio.Future[Completion]]":
        held.append(sum(len(one._states) for one in shards) + len(requests))
        return run(engine, None, requests)

    async def scene() -> None:
        await asyncio.gather(*(one.compute(dict.fromkeys(range(ROWS), Outcome())) for one in shards))
        await asyncio.gather(*(one.write_rest() for one in shards))

    lock = asyncio.Lock()
    shards = [
        ShardStates(sample_of(engine), SHARD, PREPARED, watched, open_store(tmp_path / str(n)), lock)
        for n in range(3)
    ]
    asyncio.run(scene())
    largest = max(map(len, sample_of(engine).groups(SHARD, PREPARED)))
    assert largest < ROWS
    assert max(held) == largest
    for n in range(3):
        check_states(tmp_path / str(n), checkpoint, [*range(ROWS)])
