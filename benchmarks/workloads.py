"""What the engine is given to do: rows of random token ids whose lengths follow a distribution.

A workload depends on its name, its number of rows and the model's vocabulary alone: seeds are fixed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from model.requests.choice_scores import ChoiceScores
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams

_SEED = 20240108


@dataclass(frozen=True)
class Workload:
    name: str
    prompts: list[list[int]]
    new_tokens: list[int]  # of each row; 0 where choices are scored
    choices: list[list[int]] | None = None
    instruction: list[int] = field(default_factory=list)  # with which all prompts begin

    def requests(self) -> list[Request]:
        scores = None if self.choices is None else ChoiceScores.of(self.choices)
        return [
            Request(
                str(row),
                prompt,
                SamplingParams(max_new_tokens=new_tokens, ignore_eos=True) if new_tokens else None,
                readout=scores,
            )
            for row, (prompt, new_tokens) in enumerate(zip(self.prompts, self.new_tokens, strict=True))
        ]

    @property
    def longest(self) -> int:
        return max(len(p) + n for p, n in zip(self.prompts, self.new_tokens, strict=True))


def lognormal(vocab_size: int, rows: int | None = None) -> Workload:
    """Prompts: median 96, sigma 0.6, 16..384; outputs: median 48, sigma 0.8, 4..256."""
    rng = np.random.default_rng(_SEED)
    rows = rows or 128
    prompts = np.clip(rng.lognormal(np.log(96), 0.6, rows).round(), 16, 384).astype(int)
    outputs = np.clip(rng.lognormal(np.log(48), 0.8, rows).round(), 4, 256).astype(int)
    return Workload("lognormal", [_tokens(rng, vocab_size, n) for n in prompts], outputs.tolist())


def uniform(vocab_size: int, rows: int | None = None) -> Workload:
    """128 tokens in, 64 out."""
    rng = np.random.default_rng(_SEED + 1)
    rows = rows or 64
    return Workload("uniform", [_tokens(rng, vocab_size, 128) for _ in range(rows)], [64] * rows)


def conversations(vocab_size: int, rows: int | None = None) -> Workload:
    """About 400 tokens in and 145 out on average, as MLPerf's set for Mixtral has them: for GPUs."""
    rng = np.random.default_rng(_SEED + 3)
    rows = rows or 1024
    prompts = np.clip(rng.lognormal(np.log(335), 0.6, rows).round(), 16, 2048).astype(int)
    outputs = np.clip(rng.lognormal(np.log(105), 0.8, rows).round(), 4, 1024).astype(int)
    return Workload("conversations", [_tokens(rng, vocab_size, n) for n in prompts], outputs.tolist())


def label(vocab_size: int, rows: int | None = None) -> Workload:
    """An instruction of 400 tokens that all rows share, 40 of their own, 8 choices of 1 to 4 tokens."""
    rng = np.random.default_rng(_SEED + 2)
    rows = rows or 64
    instruction = _tokens(rng, vocab_size, 400)
    prompts = [instruction + _tokens(rng, vocab_size, 40) for _ in range(rows)]
    choices = [_tokens(rng, vocab_size, 1 + i % 4) for i in range(8)]
    return Workload("label", prompts, [0] * rows, choices, instruction)


def _tokens(rng: np.random.Generator, vocab_size: int, length: int) -> list[int]:
    """Any token but the first three, which checkpoints use for unknown, begin and end."""
    tokens: list[int] = rng.integers(3, vocab_size, length).tolist()
    return tokens


WORKLOADS: dict[str, Callable[[int, int | None], Workload]] = {
    "lognormal": lognormal,
    "uniform": uniform,
    "label": label,
    "conversations": conversations,
}
