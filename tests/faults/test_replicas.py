"""Faults of the machine, injected into real jobs with real signals; every job must end by itself, whole.

The table of faults and their outcomes is in the design's chapter on durability; the tests go through it.
"""

import json
import os
import random
import signal
import sys
import threading
import time
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
from pipeline.reporting.report import Report
from pipeline.run import run

pytestmark = pytest.mark.usefixtures("local_ray")
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers can't import a test

MakeConfig = Callable[..., JobConfig]
POISON = 31_999


def prompts(count: int) -> list[dict[str, Any]]:
    dice = random.Random(5)
    return [{"ids": [dice.randrange(3, 31_000) for _ in range(dice.randrange(1, 20))]} for _ in range(count)]


def rows_of(config: JobConfig) -> pd.DataFrame:
    return pd.read_parquet(Path(config.output.path) / "generations").sort_values("row", ignore_index=True)


class Recorded(Replica):
    """Notes the processes of each incarnation in the output folder, the ranks' first."""

    def load_engine(self, options: ReplicaOptions) -> Engine:
        engine = super().load_engine(options)
        started = {"pids": engine.ranks.process_ids, "at": time.time()}
        with open(Path(options.store.root) / "_job/processes.jsonl", "a") as log:
            log.write(json.dumps(started) + "\n")
        return engine


def incarnations(config: JobConfig) -> list[dict[str, Any]]:
    path = Path(config.output.path) / "_job/processes.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class PoisonedBy(Recorded):
    """A prompt that ends with the token POISON kills the process, as a bug in a kernel might."""

    def load_engine(self, options: ReplicaOptions) -> Engine:
        engine = super().load_engine(options)
        submit = engine.submit

        def submit_or_die(request: Any) -> None:
            if request.prompt_token_ids[-1] == POISON:
                os.kill(os.getpid(), signal.SIGKILL)
            submit(request)

        engine.submit = submit_or_die  # type: ignore[method-assign]
        return engine


@pytest.mark.timeout(400)
def test_a_row_that_kills_its_process_is_quarantined_and_costs_only_itself(make_config: MakeConfig) -> None:
    rows = prompts(400)
    rows[123]["ids"].append(POISON)
    config = make_config(rows, input={"shard_rows": 8}, generation={"max_new_tokens": 2})
    report = run(config, PoisonedBy)
    table = rows_of(config)
    assert list(table["row"]) == list(range(400))
    assert list(table.index[table["error_code"] == "WORKER_CRASH"]) == [123]
    assert report.rows_by_status == {"ok": 399, "error": 1}
    deaths = len(incarnations(config)) - 1
    assert deaths <= config.errors.max_attempts + 3, "at most max_attempts + log2(rows of the shard)"


def signal_once(config: JobConfig, rank: int, number: signal.Signals) -> tuple[threading.Thread, list[float]]:
    """Send a signal to a rank of the first incarnation as soon as a part is committed; notes when."""
    sent: list[float] = []

    def wait_and_send() -> None:
        while not list(Path(config.output.path).glob("generations/*.parquet")):
            time.sleep(0.01)
        os.kill(incarnations(config)[0]["pids"][rank], number)
        sent.append(time.time())

    thread = threading.Thread(target=wait_and_send, daemon=True)
    thread.start()
    return thread, sent


def run_through(config: JobConfig, rank: int, number: signal.Signals) -> tuple[Report, float]:
    """Run a job through a signal to one of its ranks; also the seconds until the replica was there again."""
    thread, sent = signal_once(config, rank, number)
    report = run(config, Recorded)
    thread.join(1)
    assert len(incarnations(config)) == 2, "the replica must have been started anew, once"
    table = rows_of(config)
    assert list(table["row"]) == list(range(len(table)))
    assert (table["status"] == "ok").all()
    return report, incarnations(config)[1]["at"] - sent[0]


DEADLINE = 5.0
# 10 s hold on an idle machine, but this one runs the rest of the suite meanwhile.
SLACK = float(os.environ.get("RECOVERY_SLACK_S", "40"))


@pytest.mark.parametrize(
    ("ranks", "rank", "number"),
    [
        pytest.param(1, 0, signal.SIGKILL, id="killed-replica", marks=pytest.mark.slow),
        pytest.param(1, 0, signal.SIGSTOP, id="stopped-replica"),
        pytest.param(2, 1, signal.SIGKILL, id="killed-rank", marks=pytest.mark.slow),
        pytest.param(2, 1, signal.SIGSTOP, id="stopped-rank", marks=pytest.mark.slow),
    ],
)
def test_a_replica_is_replaced_within_its_deadline(
    make_config: MakeConfig, checkpoint: Any, ranks: int, rank: int, number: signal.Signals
) -> None:
    config = make_config(
        prompts(120),
        model={"path": str(checkpoint.folder), "tensor_parallel": ranks},
        generation={"max_new_tokens": 24, "ignore_eos": True},
        engine={"max_batch_rows": 4, "progress_deadline_s": DEADLINE},
    )
    report, seconds = run_through(config, rank, number)
    print(f"{number.name} to rank {rank} of {ranks}: there again after {seconds:.1f} s")
    assert report.rows == 120
    assert seconds < DEADLINE + SLACK


class BreaksOnce(Recorded):
    """The first incarnation's device fails at its 5th step and at every later one."""

    def load_engine(self, options: ReplicaOptions) -> Engine:
        engine = super().load_engine(options)
        lines = (Path(options.store.root) / "_job/processes.jsonl").read_text().splitlines()
        if len(lines) > 1:
            return engine
        forward, steps = engine.ranks.forward, iter(range(4))

        def failing(batch: Any) -> dict[Head, torch.Tensor]:
            if next(steps, None) is None:
                raise RuntimeError("CUDA error: an illegal memory access was encountered")
            return forward(batch)

        engine.ranks.forward = failing  # type: ignore[method-assign]
        return engine


@pytest.mark.slow
def test_an_engine_that_fails_every_later_call_ends_its_process(make_config: MakeConfig) -> None:
    config = make_config(prompts(60), generation={"max_new_tokens": 6})
    run(config, BreaksOnce)
    assert len(incarnations(config)) == 2
    table = rows_of(config)
    assert list(table["row"]) == list(range(60))
    assert (table["status"] == "ok").all()


class NaNFor(Replica):
    """Gives NaN for every prompt of one token."""

    def load_engine(self, options: ReplicaOptions) -> Engine:
        engine = super().load_engine(options)
        forward = engine.ranks.forward

        def sometimes_nan(batch: Any) -> dict[Head, torch.Tensor]:
            logits = forward(batch)[Head.VOCABULARY].clone()  # made in inference mode
            for row, tokens in enumerate(batch.rows):
                if tokens.cached == 0 and len(tokens.token_ids) == 1:
                    logits[row] = float("nan")
            return {Head.VOCABULARY: logits}

        engine.ranks.forward = sometimes_nan  # type: ignore[method-assign]
        return engine


def test_nan_logits_are_an_error_of_their_row(make_config: MakeConfig) -> None:
    rows = prompts(30)
    short = [i for i, row in enumerate(rows) if len(row["ids"]) == 1]
    assert short
    config = make_config(rows, generation={"max_new_tokens": 3}, errors={"max_error_rate": 1.0})
    run(config, NaNFor)
    table = rows_of(config)
    assert list(table.index[table["error_code"] == "NAN_LOGITS"]) == short
    assert (table["error_code"].isna() == (table["status"] == "ok")).all()
