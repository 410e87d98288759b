"""One engine serves all shards of a replica, so its batch stays full across their borders."""

import asyncio
from pathlib import Path

from benchmarks.random_checkpoint import write_checkpoint
from benchmarks.workloads import lognormal
from model.engine import Engine
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams
from model.scheduling.batch import Batch, Phase
from pipeline.replicas.engine_thread import EngineThread
from pipeline.supervision.watchdog import Watchdog

SHARDS, ROWS, IN_FLIGHT, SLOTS = 20, 10, 6, 12


def test_the_batch_stays_full_over_twenty_small_shards(tmp_path: Path) -> None:
    """Mean rows that decode together, over those that could, from the first full batch to the tail."""
    write_checkpoint(tmp_path, "tiny")
    engine = Engine.load(tmp_path, threads=1, max_batch_rows=SLOTS)
    workload = lognormal(256, SHARDS * ROWS)
    decoding: list[int] = []
    waiting: list[int] = []
    forward = engine.ranks.forward

    def counted(batch: Batch):  # type: ignore[no-untyped-def]
        decoding.append(sum(row.phase is Phase.DECODE for row in batch.rows))
        waiting.append(engine.scheduler.waiting)
        return forward(batch)

    engine.ranks.forward = counted  # type: ignore[method-assign]
    thread = EngineThread(lambda: engine, Watchdog(60.0))

    async def run() -> int:
        gate = asyncio.Semaphore(IN_FLIGHT)

        async def shard(number: int) -> int:
            async with gate:
                rows = range(number * ROWS, (number + 1) * ROWS)
                requests = [
                    Request(
                        str(row),
                        workload.prompts[row][:30],
                        SamplingParams(max_new_tokens=2 + workload.new_tokens[row] // 4, ignore_eos=True),
                    )
                    for row in rows
                ]
                done = await asyncio.gather(*thread.run(requests))
                return sum(len(completion.token_ids) for completion in done)

        return sum(await asyncio.gather(*map(shard, range(SHARDS))))

    assert asyncio.run(run()) == sum(2 + new // 4 for new in workload.new_tokens)
    first_full = next(step for step, rows in enumerate(decoding) if rows == SLOTS)
    tail = max(step for step, rows in enumerate(waiting) if rows)
    assert tail - first_full > 100
    assert sum(decoding[first_full:tail]) / (tail - first_full) / SLOTS > 0.9
