"""From router logits to the order in which experts compute their tokens.

N tokens, E experts, K chosen per token. An assignment is a token and one of its experts.
Mixtral of Experts, arXiv 2401.04088, section 2.1.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Routed(NamedTuple):
    weights: Tensor  # [N, K] fp32: gate weights of the chosen experts, which add up to 1
    chosen: Tensor  # [N, K] int64: experts, the likeliest first and of equals the first
    tokens: Tensor  # [N * K] int64: the token of each assignment, sorted by expert, then by token
    places: Tensor  # [N, K] int64: where in that order each assignment is
    ends: Tensor  # [E] int32: where in that order each expert's assignments end


def route(router_logits: Tensor, num_chosen: int) -> Routed:  # [N, E]
    """The softmax over the chosen experts equals that over all, divided by its sum over the chosen ones."""
    highest, experts = router_logits.sort(dim=-1, descending=True, stable=True)
    weights = highest[:, :num_chosen].softmax(-1, dtype=torch.float32)
    chosen = experts[:, :num_chosen]
    by_expert, order = chosen.flatten().sort(stable=True)
    tokens = order.div(num_chosen, rounding_mode="floor")
    places = torch.empty_like(order).scatter_(0, order, _count(len(order), order.device))
    ends = torch.searchsorted(by_expert, _count(router_logits.shape[1], order.device), right=True)
    return Routed(weights, chosen, tokens, places.view(-1, num_chosen), ends.to(torch.int32))


def _count(n: int, device: torch.device) -> Tensor:
    return torch.arange(n, device=device)
