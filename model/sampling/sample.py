"""From logits to the next token: greedy, or sampled with temperature, top_k and top_p.

M rows, V vocabulary. Randomness is counter-based: the number drawn for a row's step depends on the seed, the
row's key and the step alone, so neither companions in the batch nor restarts change what a row says.

A number in [0, 1) becomes the token at which the probabilities, added up, pass it: those of all tokens in the
order of their ids or, where top_k or top_p leave only some, of those from the likeliest on.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.machine.to_device import Numbers, to_device
from model.sampling.likeliest import likeliest, likeliest_one
from model.sampling.sampling_params import SamplingParams

_FIRST_TRIED = 256  # of the likeliest tokens, among which top_p finds all that it keeps, or more are tried


def uniform(streams: Tensor, steps: Tensor) -> Tensor:
    """Streams and steps, [M] int64 each -> [M] float64 in [0, 1): splitmix64 (Steele et al. 2014)."""
    x = streams + (steps + 1) * -0x61C8864680B583EB
    x = (x ^ _shifted(x, 30)) * -0x40A7B892E31B1A47
    x = (x ^ _shifted(x, 27)) * -0x6B2FB644ECCEEE15
    x = x ^ _shifted(x, 31)
    return _shifted(x, 11).double() * 2.0**-53


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Logical right shift; torch's is arithmetic."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def sample(logits: Tensor, params: list[SamplingParams], streams: list[int], steps: list[int]) -> Tensor:
    """Logits [M, V] and each row's parameters, stream and step -> [M, 2] float64: tokens and their logprobs.

    A logprob is the token's log-probability under the model itself: before temperature, top_k and top_p. It
    is 0 where no row asks for it. A row whose logits are no numbers gets any token.
    """
    alike: dict[Callable[[Tensor, _Rows[Tensor]], Tensor], list[int]] = defaultdict(list)
    for row, p in enumerate(params):
        if p.temperature > 0:
            alike[_among_top_k if p.top_k else _among_top_p if p.top_p < 1 else _among_all].append(row)
    tokens = likeliest_one(logits)  # [M]
    tables = to_device([_Rows.of(rows, params, streams, steps) for rows in alike.values()], logits.device)
    for (draw, rows), table in zip(alike.items(), tables, strict=True):
        if len(rows) == len(tokens):
            tokens = draw(logits, table)
        else:
            tokens.index_copy_(0, table.rows, draw(logits[table.rows], table))
    logprobs = torch.zeros_like(tokens)
    if any(p.logprobs for p in params):
        logprobs = logits.float().log_softmax(-1).gather(-1, tokens[:, None])[:, 0]
    return torch.stack((tokens.double(), logprobs.double()), dim=1)


@dataclass(frozen=True)
class _Rows(Generic[Numbers]):
    """Rows that draw in one way."""

    rows: Numbers  # [R] which of the M
    streams: Numbers  # [R]
    steps: Numbers  # [R]
    temperatures: Numbers  # [R, 1]
    top_k: Numbers  # [R, 1]
    top_p: Numbers  # [R, 1]
    most: int  # the largest top_k

    @staticmethod
    def of(
        rows: list[int], params: list[SamplingParams], streams: list[int], steps: list[int]
    ) -> "_Rows[NDArray[Any]]":
        given = [params[row] for row in rows]
        return _Rows(
            rows=np.array(rows),
            streams=np.array([streams[row] for row in rows]),
            steps=np.array([steps[row] for row in rows]),
            temperatures=np.array([[p.temperature] for p in given]),
            top_k=np.array([[p.top_k] for p in given]),
            top_p=np.array([[p.top_p] for p in given]),
            most=max(p.top_k for p in given),
        )


def _among_all(logits: Tensor, table: _Rows[Tensor]) -> Tensor:
    return _draw(_heated(logits, table).softmax(-1), table)


def _among_top_k(logits: Tensor, table: _Rows[Tensor]) -> Tensor:
    values, tokens = likeliest(logits, table.most)
    values = _heated(values, table)
    place = torch.arange(values.shape[1], device=logits.device)
    probabilities = values.masked_fill_(place >= table.top_k, float("-inf")).softmax(-1)
    return tokens.gather(-1, _draw(_within_top_p(probabilities, table), table)[:, None])[:, 0]


def _among_top_p(logits: Tensor, table: _Rows[Tensor]) -> Tensor:
    of_all = _heated(logits, table).softmax(-1)
    tried, vocabulary = _FIRST_TRIED, logits.shape[1]
    while True:
        _, tokens = likeliest(logits, tried)
        probabilities = of_all.gather(-1, tokens)
        if tried >= vocabulary or bool((probabilities.sum(-1, keepdim=True) >= table.top_p).all()):
            break
        tried *= 8
    return tokens.gather(-1, _draw(_within_top_p(probabilities, table), table)[:, None])[:, 0]


def _heated(logits: Tensor, table: _Rows[Tensor]) -> Tensor:
    """Logits, less the largest, divided by the temperature: none, however small, overflows."""
    return (logits.double() - logits.amax(-1, keepdim=True)).div_(table.temperatures)


def _within_top_p(probabilities: Tensor, table: _Rows[Tensor]) -> Tensor:
    """Those of the likeliest tokens, descending -> the same without tokens that top_p leaves out."""
    before = probabilities.cumsum(-1) - probabilities  # mass of all likelier tokens
    return probabilities.masked_fill(before >= table.top_p, 0.0)


def _draw(probabilities: Tensor, table: _Rows[Tensor]) -> Tensor:  # [R, n], of any sum -> [R]
    cumulative = probabilities.cumsum(-1)
    total = cumulative[:, -1:]
    drawn = uniform(table.streams, table.steps)[:, None] * total
    # By rounding, a number may be the sum itself, which nothing passes: then the last possible one is drawn.
    drawn = torch.minimum(drawn, torch.nextafter(total, torch.zeros_like(total)))
    passed = torch.searchsorted(cumulative, drawn, right=True)
    return passed[:, 0].clamp_(max=probabilities.shape[1] - 1)
