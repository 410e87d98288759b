"""The engine's scheduler over many rows whose answers have random lengths; no network."""

from dataclasses import dataclass

import numpy as np

from benchmarks.random_checkpoint import SIZES
from model.config import ModelConfig
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams
from model.scheduling.scheduler import Scheduler, Sequence

PAGE = 64
_PREFILL_TOKENS = 4096
_SEED = 20240108


@dataclass(frozen=True)
class Step:
    decoding: int  # rows
    prefilled: int  # tokens of the rows that are admitted; 0: the step is captured
    filled: float  # share of the cache
    waiting: int  # rows that are not admitted yet


def lengths(median: float, sigma: float, most: int, count: int) -> list[int]:
    """Log-normal, as the lengths of prompts and of answers are."""
    drawn = np.random.default_rng(_SEED + most).lognormal(np.log(median), sigma, count)
    clipped: list[int] = np.clip(drawn, 4, most).astype(int).tolist()
    return clipped


def run(
    prompts: list[int], answers: list[int], *, limits: list[int], slots: int, cache_tokens: int
) -> list[Step]:
    """All steps; `limits` are the rows' max_new_tokens, none below the length of its row's answer."""
    scheduler = Scheduler(slots, cache_tokens // PAGE, PAGE, _PREFILL_TOKENS)
    config = ModelConfig.from_dict(SIZES["8x7b"])
    left: dict[str, int] = {}
    for i, (prompt, answer, limit) in enumerate(zip(prompts, answers, limits, strict=True)):
        request = Request(str(i), [5] * prompt, SamplingParams(max_new_tokens=limit))
        scheduler.add(request, request.wanted.start(request.key, config))
        left[str(i)] = answer
    steps = []
    while not scheduler.idle:
        decoding, admitted = scheduler.next_step()
        filled = 1 - scheduler.pages.free / scheduler.pages.pages
        prefilled = sum(sequence.prompt_tokens for sequence in admitted)
        steps.append(Step(len(decoding), prefilled, filled, scheduler.waiting))
        for sequence in decoding + admitted:
            _advance(scheduler, sequence, left)
    return steps


def _advance(scheduler: Scheduler, sequence: Sequence, left: dict[str, int]) -> None:
    sequence.cached += 1 if sequence.cached else sequence.prompt_tokens
    left[sequence.request.key] -= 1
    if not left[sequence.request.key]:
        scheduler.release(sequence)
