"""The engine's scheduler over many rows whose answers have random lengths; no network."""

from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.random_checkpoint import SIZES
from model.config import ModelConfig
from model.machine.budget import STEP_TOKENS, tokens_beside_decoding
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams
from model.scheduling.batch import Phase
from model.scheduling.prefill_budget import PrefillBudget
from model.scheduling.scheduler import Scheduler
from model.scheduling.sequence import Sequence
from model.sliding_window import SlidingWindow

PAGE = 64
_SEED = 20240108


@dataclass(frozen=True)
class Step:
    decoding: int  # rows
    prefilled: int  # tokens of prompts; 0: the step is captured
    filled: float  # share of the cache
    waiting: int  # rows that are not admitted yet
    set_back: int  # rows that compute their tokens once more


def lengths(median: float, sigma: float, most: int, count: int) -> list[int]:
    """Log-normal, as the lengths of prompts and of answers are."""
    drawn = np.random.default_rng(_SEED + most).lognormal(np.log(median), sigma, count)
    clipped: list[int] = np.clip(drawn, 4, most).astype(int).tolist()
    return clipped


def run(
    prompts: list[int], answers: list[int], *, limits: list[int], slots: int, cache_tokens: int
) -> list[Step]:
    """All steps; `limits` are the rows' max_new_tokens, none below the length of its row's answer."""
    config = ModelConfig.from_dict(SIZES["8x7b"])
    budget = PrefillBudget.of(config, STEP_TOKENS, tokens_beside_decoding(torch.device("cuda")))
    scheduler = Scheduler(slots, cache_tokens // PAGE, SlidingWindow(None, PAGE), budget)
    left: dict[str, int] = {}
    for i, (prompt, answer, limit) in enumerate(zip(prompts, answers, limits, strict=True)):
        request = Request(str(i), [5 + i] * prompt, SamplingParams(max_new_tokens=limit))
        scheduler.add(request, request.wanted.start(request.key, config))
        left[str(i)] = answer
    steps = []
    while not scheduler.idle:
        step = scheduler.next_step()
        pages = scheduler.running.pages
        decoding = sum(row.phase is Phase.DECODE for row in step.rows)
        computed = sum(row.length for row in step.rows)
        steps.append(
            Step(
                decoding,
                computed - decoding,
                1 - pages.free / pages.pages,
                scheduler.waiting,
                len(step.set_back),
            )
        )
        for sequence, row in zip(step.of, step.rows, strict=True):
            if row.num_read and isinstance(sequence, Sequence):
                _read(scheduler, sequence, left)
    return steps


def _read(scheduler: Scheduler, sequence: Sequence, left: dict[str, int]) -> None:
    """A row has one more token of its answer."""
    sequence.reading.next_token = 5
    left[sequence.request.key] -= 1
    if not left[sequence.request.key]:
        scheduler.release(sequence)
