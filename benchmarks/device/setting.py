"""Where a section measures: on a GPU at full size or, to try the section itself, on a CPU with tiny sizes.

Only this file uses private attributes of the engine, or replaces parts of it.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.random_checkpoint import SIZES
from model.config import ModelConfig
from model.engine import Engine
from model.machine.budget import weight_bytes
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams

Table = list[dict[str, Any]]  # what a section has found: rows with the same columns
T = TypeVar("T")
_LARGEST_FIRST = ("8x7b", "8x7b-half", "214m")
_BESIDE_WEIGHTS = 8e9  # bytes for the cache and for what a step computes


@dataclass(frozen=True)
class Setting:
    rehearsal: bool

    def pick(self, full: T, tiny: T) -> T:
        return tiny if self.rehearsal else full

    @property
    def device(self) -> torch.device:
        return torch.device(self.pick("cuda", "cpu"))

    @property
    def dtype(self) -> torch.dtype:
        return self.pick(torch.bfloat16, torch.float32)

    def size(self) -> str:
        """The name of the largest size whose weights the device holds."""
        if self.rehearsal:
            return "tiny"
        free = torch.cuda.mem_get_info()[0] - _BESIDE_WEIGHTS
        for name in _LARGEST_FIRST:
            if weight_bytes(ModelConfig.from_dict(SIZES[name]), self.dtype) < free:
                return name
        return _LARGEST_FIRST[-1]

    @contextmanager
    def engine(self, rows: int, context: int = 4096, cache_tokens: int | None = None) -> Iterator[Engine]:
        """An engine with random weights, which are drawn on the device."""
        with tempfile.TemporaryDirectory(prefix="device-session-") as folder:
            sizes = SIZES[self.size()] | {"max_position_embeddings": context}
            (Path(folder) / "config.json").write_text(json.dumps(sizes))
            loaded = Engine.load(
                folder,
                str(self.dtype).removeprefix("torch."),
                max_batch_rows=rows,
                kv_cache_tokens=self.pick(cache_tokens, 4096),
                random_weights=True,
                threads=self.pick(None, 1),
            )
            try:
                yield loaded
            finally:
                loaded.close()

    def wait(self) -> None:
        if not self.rehearsal:
            torch.cuda.synchronize()

    def milliseconds(self, work: Callable[[], object], times: int = 30) -> float:
        """The median time that the device takes for `work`."""
        times = self.pick(times, 1)
        work()  # compiles kernels
        if self.rehearsal:
            started = time.perf_counter()
            work()
            return 1e3 * (time.perf_counter() - started)
        pairs = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(times)]
        for start, end in pairs:
            start.record()
            work()
            end.record()
        self.wait()
        return float(np.median([start.elapsed_time(end) for start, end in pairs]))

    def peak_bytes(self, work: Callable[[], object]) -> int | None:
        """The most memory that `work` takes on the device beside what was there; None on a CPU."""
        if self.rehearsal:
            work()
            return None
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        self.wait()
        return torch.cuda.max_memory_allocated() - before


def random_prompts(vocab_size: int, lengths: list[int]) -> list[list[int]]:
    """Prompts of random tokens, without the first three, which mean something to a checkpoint."""
    generator = np.random.default_rng(20240108)
    return [generator.integers(3, vocab_size, length).tolist() for length in lengths]


def decode_all(engine: Engine, rows: int, context: int, further: int) -> None:
    """Prefill `rows` rows, so that the next `further` steps only decode."""
    params = SamplingParams(max_new_tokens=further + rows + 2, ignore_eos=True)
    for i, prompt in enumerate(random_prompts(engine.config.vocab_size, [context] * rows)):
        engine.submit(Request(f"{context} {i}", prompt, params))
    while engine.scheduler.waiting:
        engine.step()
    engine.step()  # the first step of its size is captured


def leave_all(engine: Engine) -> None:
    """Drop the rows that run."""
    for sequence in list(engine.scheduler.running.rows.values()):
        engine.scheduler.release(sequence)


@contextmanager
def uncaptured(engine: Engine) -> Iterator[None]:
    """Within the block, steps run operator by operator."""
    executor = engine.ranks.local
    graphs, executor.graphs = executor.graphs, None
    try:
        yield
    finally:
        executor.graphs = graphs


def replace_head(engine: Engine, head: nn.Module) -> None:
    engine.ranks.local.model._modules["head"] = head


def tokens_of_a_step(engine: Engine) -> int | None:
    """The most tokens that the engine computes at once since memory did not suffice; None: it did."""
    return engine.step_size.most


def scores(engine: Engine, prompts: list[list[int]], choices: list[list[int]]) -> NDArray[np.float64]:
    """The log-probability of each choice behind each prompt."""
    return np.array([completion.answer for completion in engine.score(prompts, choices)])
