"""From logits to the next token: greedy, or sampled with temperature, top_k and top_p.

M rows, V vocabulary. Randomness is counter-based: the number drawn for a row's step depends on the seed, the
row's key and the step alone, so neither companions in the batch nor restarts change what a row says.
"""

import torch
from torch import Tensor

from model.sampling.sampling_params import SamplingParams


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


def sample(
    logits: Tensor, params: list[SamplingParams], streams: list[int], steps: list[int]
) -> tuple[list[int], list[float] | None]:
    """Logits [M, V] and each row's parameters, stream and step -> tokens and, where asked, their logprobs.

    A logprob is the token's log-probability under the model itself: before temperature, top_k and top_p.
    """
    tokens = logits.max(-1).indices  # [M]
    sampled = [row for row, p in enumerate(params) if p.temperature > 0]
    if sampled:
        device = logits.device
        draws = uniform(
            torch.tensor([streams[row] for row in sampled], device=device),
            torch.tensor([steps[row] for row in sampled], device=device),
        )
        tokens[sampled] = _draw(logits[sampled], [params[row] for row in sampled], draws)
    logprobs = None
    if any(p.logprobs for p in params):
        logprobs = logits.float().log_softmax(-1).gather(-1, tokens[:, None])[:, 0].tolist()
    return tokens.tolist(), logprobs


def _draw(logits: Tensor, params: list[SamplingParams], draws: Tensor) -> Tensor:
    """Invert each row's cumulative distribution over its tokens in descending order."""

    def column(values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64, device=logits.device)[:, None]

    values, tokens = logits.double().sort(dim=-1, descending=True, stable=True)  # [M, V]
    # The likeliest token's value is 0, so that no temperature, however small, overflows.
    values = (values - values[:, :1]) / column([p.temperature for p in params])
    index = torch.arange(values.shape[-1], device=logits.device)
    limit = column([p.top_k or values.shape[-1] for p in params])
    probabilities = values.masked_fill(index >= limit, float("-inf")).softmax(-1)
    before = probabilities.cumsum(-1) - probabilities  # mass of all likelier tokens
    probabilities = probabilities.masked_fill(before >= column([p.top_p for p in params]), 0.0)
    cumulative = probabilities.cumsum(-1)
    drawn = torch.searchsorted(cumulative, draws[:, None] * cumulative[:, -1:], right=True)
    # Rounding may leave a draw at the very end of the mass: the last token that has any takes it.
    last = (probabilities > 0).sum(-1, keepdim=True) - 1
    return tokens.gather(-1, torch.minimum(drawn, last))[:, 0]
