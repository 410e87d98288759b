"""A replica with everything real but the network: tokens are a known function of the prompt.

Its engine, scheduler, watchdog, attempts and publishing are those of a job. The other ranks are child
processes that are asked at every step and, as with a model, no step succeeds without them.
"""

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from model.checkpoint.load import check_checkpoint
from model.engine import Engine
from model.execution.options import ExecutorOptions
from model.execution.ranks import Ranks
from model.requests.readout import Head
from model.scheduling.batch import Batch, Phase
from pipeline.replicas.load_engine import ReplicaOptions
from pipeline.replicas.replica import Replica
from tests.chaos.rank import partial_sum

STEP_SECONDS = 0.01
FIRST_TOKEN = 3


class PromptSums:
    """The sum over a prompt of place times token, added up over ranks that are processes of their own."""

    def __init__(self, size: int) -> None:
        self._size = size
        command = [sys.executable, "-S", str(Path(__file__).with_name("rank.py"))]
        self._children = [
            subprocess.Popen([*command, str(rank), str(size)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for rank in range(1, size)
        ]

    def of(self, prompts: list[list[int]]) -> list[int]:
        """RuntimeError, as from real ranks, if one of them is dead."""
        sums = [partial_sum(prompt, 0, self._size) for prompt in prompts]
        for child in self._children:
            answer = _ask(child, json.dumps(prompts).encode() + b"\n")
            if not answer.endswith(b"\n"):
                raise RuntimeError("a rank ended")
            sums = [a + b for a, b in zip(sums, json.loads(answer), strict=True)]
        return sums


def _ask(rank: "subprocess.Popen[bytes]", question: bytes) -> bytes:
    assert rank.stdin is not None
    assert rank.stdout is not None
    with suppress(BrokenPipeError):
        rank.stdin.write(question)
        rank.stdin.flush()
    return rank.stdout.readline()


def token(prompt_sum: int, k: int, vocab_size: int) -> int:
    """Token k of the answer."""
    return (prompt_sum * (k + 1) + 7 * k) % (vocab_size - FIRST_TOKEN) + FIRST_TOKEN


class FakeRanks(Ranks):
    """Logits that leave one choice for every token."""

    def __init__(self, vocab_size: int, size: int) -> None:
        self._vocab_size = vocab_size
        self._ranks = PromptSums(size)
        self._sums: dict[int, int] = {}  # by slot
        self._generated: dict[int, int] = {}
        self._children = []
        self._local = _NoRouting()  # type: ignore[assignment]
        self._watch = None

    def forward(self, batch: Batch) -> dict[Head, Tensor]:
        sums = self._ranks.of([row.token_ids if row.phase is Phase.PREFILL else [] for row in batch.rows])
        time.sleep(STEP_SECONDS)
        logits = torch.zeros(len(batch.rows), self._vocab_size)
        for i, row in enumerate(batch.rows):
            if row.phase is Phase.PREFILL:
                self._sums[row.slot], self._generated[row.slot] = sums[i], 0
            k = self._generated[row.slot]
            self._generated[row.slot] += 1
            logits[i, token(self._sums[row.slot], k, self._vocab_size)] = 1.0
        return {Head.VOCABULARY: logits}


class _NoRouting:
    def __init__(self) -> None:
        self.routing = None
        self.path = dict.fromkeys(
            ("device", "dtype", "quantization", "attention", "decode", "experts", "steps"), ""
        )


class FakeReplica(Replica):
    def _start(self, options: ReplicaOptions) -> None:
        super()._start(options)
        with open(Path(options.store.root).with_name("replicas"), "a") as log:  # whom the soak kills
            log.write(f"{os.getpid()} {self._shards.process}\n")

    def load_engine(self, options: ReplicaOptions) -> Engine:
        size = options.config.model.tensor_parallel
        config = check_checkpoint(options.checkpoint, size)
        return Engine(
            FakeRanks(config.vocab_size, size),
            config,
            ExecutorOptions(
                folder=Path(options.checkpoint),
                dtype=torch.float32,
                device=torch.device("cpu"),
                threads=1,
                slots=16,
                pages=4096,
                page_size=16,
                quantization="none",
                attention="auto",
                statistics=False,
            ),
        )
