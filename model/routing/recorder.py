"""Which experts the router chose, counted row by row while the batch is computed.

n tokens of a step's rows, L layers, E experts, K chosen per token. Counts are kept apart for prefill and
decode.
"""

from itertools import accumulate
from math import prod

import numpy as np
import torch
from torch import Tensor

from model.config import ModelConfig
from model.machine.to_device import to_device
from model.requests.row_routing import FIXED_POINT, Counts, RowRouting
from model.routing.token_owners import SPECIAL_SLOTS, TokenOwners

_PHASES = 2


class RoutingRecorder:
    """Counters for every slot of the engine, filled step by step without leaving the device."""

    def __init__(self, config: ModelConfig, slots: int, device: torch.device) -> None:
        L, K, E = config.num_layers, config.num_experts_per_tok, config.num_experts
        self.config = config
        self.device = device
        self.slots = slots + SPECIAL_SLOTS
        self._shapes: dict[str, tuple[int, ...]] = {
            # These are added to by row, the next ones by token, and the last ones number by number.
            "tokens": (),
            "computed": (),
            "prob_q": (L, E),
            "entropy_q": (L,),
            "next_pairs": (),
            "repeat_first": (L,),
            "repeat_any": (L,),
            "chosen": (L, K, E),
            "gate_q": (L, K, E),
            "pairs": (L, E, E),
        }
        self._sizes = [prod(shape) for shape in self._shapes.values()]
        # A slot's counters lie side by side, so that they leave the device together.
        self._counts = torch.zeros(_PHASES, self.slots, sum(self._sizes), dtype=torch.int64, device=device)
        self._offsets = dict(zip(self._shapes, [0, *accumulate(self._sizes)], strict=False))
        # Where among a slot's counters those of a layer and a choice begin, and those of a layer's pairs.
        choices = torch.arange(L * K).view(L, K) * E + self._offsets["chosen"]
        self._choices = choices.to(device)
        self._pairs = (torch.arange(L) * E * E + self._offsets["pairs"]).to(device)
        # What each slot's last token chose.
        self.latest = torch.zeros(self.slots, L, K, dtype=torch.int64, device=device)
        self._step: list[tuple[Tensor, Tensor, Tensor]] = []

    def observe(self, layer: int, router_logits: Tensor, chosen: Tensor, weights: Tensor) -> None:
        assert layer == len(self._step), "layers are observed once a step, in their order"
        self._step.append((router_logits, chosen, weights))

    def forget_step(self) -> None:
        """Drop what was observed of a step that failed."""
        self._step.clear()

    def end_step(self, owners: TokenOwners[Tensor]) -> None:
        """Add the observed step to the counters of its tokens' owners."""
        logits, chosen, weights = (torch.stack(x, dim=1) for x in zip(*self._step, strict=True))
        self._step.clear()
        self._add("tokens", owners.counters, owners.sizes)
        if owners.own is not None:
            logits, chosen, weights = logits[owners.own], chosen[owners.own], weights[owners.own]
        probabilities = logits.softmax(-1, dtype=torch.float32)  # [n, L, E]
        entropy = torch.special.entr(probabilities).sum(-1)  # [n, L]
        sums = _fixed(torch.cat((probabilities.flatten(1), entropy), dim=1))
        repeats = self._repeats(owners, chosen) & owners.paired[:, None]
        of_tokens = torch.cat((sums, owners.paired[:, None], repeats), dim=1)
        self._add("prob_q", owners.token_counters, of_tokens)

        begins = owners.token_counters[:, None] * self._counts.shape[-1]  # [n, 1]
        choices = (begins[..., None] + self._choices + chosen).flatten()
        gates = choices + (self._offsets["gate_q"] - self._offsets["chosen"])
        counts, one = self._counts.view(-1), choices
        if self.config.num_experts_per_tok > 1:
            pairs = torch.add(begins + self._pairs, chosen[..., 0], alpha=self.config.num_experts)
            one = torch.cat((choices, (pairs + chosen[..., 1]).flatten()))
        counts.index_add_(0, one, torch.ones_like(one))
        counts.index_add_(0, gates, _fixed(weights).flatten())

    def _repeats(self, owners: TokenOwners[Tensor], chosen: Tensor) -> Tensor:
        """[n, 2 L]: whether the token before chose the same first expert, and any of the same."""
        before = chosen.roll(1, dims=0)
        before[owners.first] = self.latest[owners.slots]
        self.latest[owners.slots] = chosen[owners.last]
        if owners.follows is not None:
            first, slots = owners.follows
            before[first] = self.latest[slots]
        same_first = chosen[..., 0] == before[..., 0]
        any_common = (chosen[..., :, None] == before[..., None, :]).flatten(2).any(-1)
        return torch.cat((same_first, any_common), dim=1)

    def _add(self, name: str, counters: Tensor, values: Tensor) -> None:
        """Add [m, numbers] to [m] counters: to the statistic of this name and to those behind it."""
        offset = self._offsets[name]
        self._counts.flatten(0, 1)[:, offset : offset + values.shape[1]].index_add_(0, counters, values)

    def take(self, slots: list[int]) -> list[RowRouting]:
        """The counts of these slots, which start again at zero."""
        which: Tensor = to_device([np.array(slots)], self.device)[0]
        taken = self._counts.index_select(1, which).transpose(0, 1).contiguous().cpu().numpy()
        self._counts.index_fill_(1, which, 0)
        return [self._counts_of(one) for one in taken]

    def _counts_of(self, taken: Counts) -> RowRouting:  # [phases, numbers of a slot]
        counts = {
            name: taken[:, offset : offset + size].reshape(_PHASES, *self._shapes[name])
            for (name, offset), size in zip(self._offsets.items(), self._sizes, strict=True)
        }
        return RowRouting(**counts)


def _fixed(x: Tensor) -> Tensor:
    return (x * FIXED_POINT).round_().long()  # exact in float32: the factor is a power of 2
