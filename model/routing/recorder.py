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
from model.routing.token_owners import PREFIX_SLOT, SPECIAL_SLOTS, TokenOwners

_PHASES = 2


class RoutingRecorder:
    """Counters for every slot of the engine, filled step by step without leaving the device."""

    def __init__(self, config: ModelConfig, slots: int, device: torch.device) -> None:
        L, K, E = config.num_layers, config.num_experts_per_tok, config.num_experts
        self.config = config
        self.device = device
        self.slots = slots + SPECIAL_SLOTS
        self.of_prefix: RowRouting | None = None
        self._shapes: dict[str, tuple[int, ...]] = {
            "tokens": (),
            "computed": (),
            "chosen": (L, K, E),
            "gate_q": (L, K, E),
            "prob_q": (L, E),
            "pairs": (L, E, E),
            "next_pairs": (),
            "repeat_first": (L,),
            "repeat_any": (L,),
            "entropy_q": (L,),
        }
        self._sizes = [prod(shape) for shape in self._shapes.values()]
        # A slot's counters lie side by side, so that they leave the device together.
        self._counts = torch.zeros(_PHASES, self.slots, sum(self._sizes), dtype=torch.int64, device=device)
        self._offsets = dict(zip(self._shapes, [0, *accumulate(self._sizes)], strict=False))
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
        self._add("computed", owners.counters, owners.computed)
        self._add("tokens", owners.counters, owners.tokens)
        if owners.own is not None:
            logits, chosen, weights = logits[owners.own], chosen[owners.own], weights[owners.own]
        counters = owners.token_counters  # [n]
        probabilities = logits.softmax(-1, dtype=torch.float32)  # [n, L, E]
        entropy = torch.special.entr(probabilities).sum(-1)  # [n, L]
        L, K, E = self.config.num_layers, self.config.num_experts_per_tok, self.config.num_experts
        layer = torch.arange(L, device=self.device)
        choice = (layer[:, None] * K + torch.arange(K, device=self.device)) * E + chosen  # [n, L, K]
        self._add_at("chosen", counters, choice, torch.ones_like(choice))
        self._add_at("gate_q", counters, choice, _fixed(weights))
        if K > 1:
            pair = (layer * E + chosen[..., 0]) * E + chosen[..., 1]  # [n, L]
            self._add_at("pairs", counters, pair, torch.ones_like(pair))
        self._add("prob_q", counters, _fixed(probabilities))
        self._add("entropy_q", counters, _fixed(entropy))
        self._add_repeats(owners, chosen)

    def take_prefix(self) -> None:
        """Keep the counts of the shared prefix, to be added to those of every row that has it."""
        [self.of_prefix] = self.take([(PREFIX_SLOT, False)])

    def _add_repeats(self, owners: TokenOwners[Tensor], chosen: Tensor) -> None:
        before = chosen.roll(1, dims=0)
        before[owners.first] = self.latest[owners.before]
        paired = torch.ones(len(chosen), dtype=torch.bool, device=self.device)
        paired[owners.first] = owners.continues
        self.latest[owners.slots] = chosen[owners.last]

        same_first = (chosen[..., 0] == before[..., 0]) & paired[:, None]  # [n, L]
        any_common = (chosen[..., :, None] == before[..., None, :]).flatten(2).any(-1) & paired[:, None]
        self._add("next_pairs", owners.token_counters, paired.long())
        self._add("repeat_first", owners.token_counters, same_first.long())
        self._add("repeat_any", owners.token_counters, any_common.long())

    def _add(self, name: str, counters: Tensor, values: Tensor) -> None:
        """Add values of rows or tokens, each to the whole of one statistic of its counters."""
        offset = self._offsets[name]
        values = values.reshape(len(counters), -1)
        counter = self._counts.flatten(0, 1)[:, offset : offset + values.shape[1]]
        counter.index_add_(0, counters, values)

    def _add_at(self, name: str, counters: Tensor, within: Tensor, values: Tensor) -> None:
        """Add values of tokens, each to one number of a statistic: `within` is its index there."""
        starts = counters * self._counts.shape[-1] + self._offsets[name]  # [n]
        index = starts.reshape(-1, *[1] * (within.ndim - 1)) + within
        self._counts.view(-1).index_add_(0, index.flatten(), values.flatten())

    def take(self, slots: list[tuple[int, bool]]) -> list[RowRouting]:
        """Slots, and whether their rows have the shared prefix -> their counts, which start again at zero.

        A row with the prefix has the prefix's counts, too, except for `computed`.
        """
        which: Tensor = to_device([np.array([slot for slot, _ in slots]) % self.slots], self.device)[0]
        taken = self._counts.index_select(1, which).transpose(0, 1).contiguous().cpu().numpy()
        self._counts.index_fill_(1, which, 0)
        return [self._counts_of(one, has_prefix) for one, (_, has_prefix) in zip(taken, slots, strict=True)]

    def _counts_of(self, taken: Counts, has_prefix: bool) -> RowRouting:  # [phases, numbers of a slot]
        counts = {
            name: taken[:, offset : offset + size].reshape(_PHASES, *self._shapes[name])
            for (name, offset), size in zip(self._offsets.items(), self._sizes, strict=True)
        }
        if has_prefix:
            assert self.of_prefix is not None
            for name, count in counts.items():
                if name != "computed":
                    count += getattr(self.of_prefix, name)
        return RowRouting(**counts)


def _fixed(x: Tensor) -> Tensor:
    return (x.double() * FIXED_POINT).round().long()
