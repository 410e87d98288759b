"""Which experts the router chose, counted row by row while the batch is computed.

N real tokens of a step, L layers, E experts, K chosen per token. Counts are kept apart for prefill and
decode.
"""

import torch
from torch import Tensor

from model.batch import Batch, Row
from model.config import ModelConfig
from model.row_routing import FIXED_POINT, RowRouting

PREFIX_SLOT = -1  # of the prefix that rows share, behind those of the rows
_PHASES = 2


class RoutingRecorder:
    """Counters for every slot of the engine, filled step by step without leaving the device."""

    def __init__(self, config: ModelConfig, slots: int, device: torch.device) -> None:
        L, K, E = config.num_layers, config.num_experts_per_tok, config.num_experts
        self.config = config
        self.device = device
        slots += 1
        self.slots = slots
        self.prefix: RowRouting | None = None
        self.counters = {
            "tokens": self._zeros(slots),
            "computed": self._zeros(slots),
            "chosen": self._zeros(slots, L, K, E),
            "gate_q": self._zeros(slots, L, K, E),
            "prob_q": self._zeros(slots, L, E),
            "pairs": self._zeros(slots, L, E, E),
            "next_pairs": self._zeros(slots),
            "repeat_first": self._zeros(slots, L),
            "repeat_any": self._zeros(slots, L),
            "entropy_q": self._zeros(slots, L),
        }
        self.latest = torch.zeros(slots, L, K, dtype=torch.int64, device=device)  # of each slot's last token
        self._step: list[tuple[Tensor, Tensor, Tensor]] = []

    def _zeros(self, slots: int, *shape: int) -> Tensor:
        return torch.zeros(_PHASES, slots, *shape, dtype=torch.int64, device=self.device)

    def observe(self, layer: int, router_logits: Tensor, chosen: Tensor, weights: Tensor) -> None:
        assert layer == len(self._step), "layers are observed once a step, in their order"
        self._step.append((router_logits, chosen, weights))

    def forget_step(self) -> None:
        """Drop what was observed of a step that failed."""
        self._step.clear()

    def end_step(self, batch: Batch) -> None:
        """Add the observed step to the counters of the batch's rows."""
        logits, chosen, weights = (torch.stack(x, dim=1) for x in zip(*self._step, strict=True))
        self._step.clear()
        rows = batch.rows
        places = self._tensor([row.phase * self.slots + row.slot % self.slots for row in rows])  # [B]
        lengths = self._tensor([len(row.token_ids) for row in rows])
        self._add("computed", places, self._tensor([row.length for row in rows]))
        self._add("tokens", places, lengths)

        trees = any(row.tree.token_ids for row in rows)
        if trees:  # whose nodes are no tokens of their rows
            real = torch.cat([torch.arange(row.length) < len(row.token_ids) for row in rows]).to(self.device)
            logits, chosen, weights = logits[real], chosen[real], weights[real]
        owner = places.repeat_interleave(lengths)  # [N]
        probabilities = logits.softmax(-1, dtype=torch.float32)  # [N, L, E]
        entropy = torch.special.entr(probabilities).sum(-1)  # [N, L]
        L, K, E = self.config.num_layers, self.config.num_experts_per_tok, self.config.num_experts
        layer = owner[:, None] * L + torch.arange(L, device=self.device)  # [N, L]
        choice = (layer[..., None] * K + torch.arange(K, device=self.device)) * E + chosen  # [N, L, K]
        self._add_at("chosen", choice, torch.ones_like(choice))
        self._add_at("gate_q", choice, _fixed(weights))
        if K > 1:
            pair = (layer * E + chosen[..., 0]) * E + chosen[..., 1]  # [N, L]
            self._add_at("pairs", pair, torch.ones_like(pair))
        self._add("prob_q", owner, _fixed(probabilities))
        self._add("entropy_q", owner, _fixed(entropy))
        self._add_repeats(rows, chosen, owner, lengths)
        if batch.becomes_prefix:
            self.prefix = self.take(PREFIX_SLOT)

    def _add_repeats(self, rows: list[Row], chosen: Tensor, owner: Tensor, lengths: Tensor) -> None:
        ends = lengths.cumsum(0)
        starts = ends - lengths
        slots = self._tensor([row.slot for row in rows])
        latest = [PREFIX_SLOT if row.prefix and not row.cached else row.slot for row in rows]
        before = chosen.roll(1, dims=0)
        before[starts] = self.latest[self._tensor(latest)]
        paired = torch.ones(len(chosen), dtype=torch.bool, device=self.device)
        paired[starts] = self._tensor([row.prefix + row.cached for row in rows]) > 0
        self.latest[slots] = chosen[ends - 1]

        same_first = (chosen[..., 0] == before[..., 0]) & paired[:, None]  # [N, L]
        any_common = (chosen[..., :, None] == before[..., None, :]).flatten(2).any(-1) & paired[:, None]
        self._add("next_pairs", owner, paired.long())
        self._add("repeat_first", owner, same_first.long())
        self._add("repeat_any", owner, any_common.long())

    def _tensor(self, values: list[int]) -> Tensor:
        return torch.tensor(values, device=self.device)

    def _add(self, name: str, places: Tensor, values: Tensor) -> None:
        """Values of rows or tokens, each to the counters at its place: phase and slot."""
        self.counters[name].flatten(0, 1).index_add_(0, places, values)

    def _add_at(self, name: str, places: Tensor, values: Tensor) -> None:
        """Places are indices into the counter laid flat."""
        self.counters[name].view(-1).index_add_(0, places.flatten(), values.flatten())

    def take(self, slot: int, has_prefix: bool = False) -> RowRouting:
        """The counts of the row in `slot`, which start again at zero.

        With the prefix, its tokens are the row's too, but were not computed for it.
        """
        counts = {}
        for name, counter in self.counters.items():
            counts[name] = counter[:, slot].cpu().numpy().copy()
            counter[:, slot] = 0
        if has_prefix:
            assert self.prefix is not None
            for name, count in counts.items():
                if name != "computed":
                    count += getattr(self.prefix, name)
        return RowRouting(**counts)


def _fixed(x: Tensor) -> Tensor:
    return (x.double() * FIXED_POINT).round().long()
