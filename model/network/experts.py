"""The feed-forward half of a block: top-K of E SiLU experts, or one dense SiLU network.

N tokens, D width, F hidden width of an expert (this rank's share of it), E experts, K chosen per token.
Mixtral of Experts, arXiv 2401.04088, section 2.1.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.config import ModelConfig
from model.linear.layout import Layout, Multiply, plain
from model.linear.linear import Linear
from model.network.tensor_parallel import TensorParallel

# Hidden numbers of experts that are taken together: more calls cost time, and more numbers leave the caches.
_MOST_HIDDEN = 1 << 19
_GROUPED = 1 << 14  # assignments at a time: what lies between two multiplications must fit beside the cache

# (layer, router logits [N, E], chosen experts [N, K], gate weights [N, K])
RoutingObserver = Callable[[int, Tensor, Tensor, Tensor], None]


class Experts(nn.Module):
    def __init__(self, layer: int, config: ModelConfig, tp: TensorParallel) -> None:
        super().__init__()
        self.layer = layer
        self.num_chosen = config.num_experts_per_tok
        self.tp = tp
        share = tp.share(config.ffn_dim, "intermediate_size")
        E, D, F_ = config.num_experts, config.dim, share.stop - share.start
        self.hidden_width = F_
        self.gate = nn.Parameter(torch.empty(E, D), requires_grad=False)
        self.w13 = nn.Parameter(torch.empty(E, 2 * F_, D), requires_grad=False)  # w1 above w3
        self.w2 = nn.Parameter(torch.empty(E, D, F_), requires_grad=False)
        self._laid_out: tuple[Multiply, Multiply] | None = None  # w13 and w2

    @property
    def is_sync_free(self) -> bool:
        """Whether it runs without waiting for the device: all experts in one multiplication."""
        return self._laid_out is None and has_grouped_matmul(
            self.w2.device, self.w2.dtype, *self.w2.shape[1:]
        )

    def lay_out(self, layout: Layout) -> None:
        w13 = layout(self.w13)
        del self.w13  # freed before w2 is copied
        self._laid_out = w13, layout(self.w2)
        del self.w2

    def forward(self, x: Tensor, observe: RoutingObserver | None) -> Tensor:  # [N, D] -> [N, D]
        router_logits = F.linear(x, self.gate)  # [N, E]
        weights, chosen = router_logits.softmax(-1, dtype=torch.float32).topk(self.num_chosen)  # [N, K]
        weights = weights / weights.sum(-1, keepdim=True)
        if observe is not None:
            observe(self.layer, router_logits, chosen, weights)

        order = chosen.flatten().argsort(stable=True)  # [N * K] assignments, sorted by expert
        tokens = order // self.num_chosen
        run = self.run_grouped if self.is_sync_free else self.run_by_expert
        outputs = run(x[tokens], chosen.flatten()[order]).float()
        outputs *= weights.flatten()[order, None]  # [N * K, D] fp32
        mixed = torch.zeros_like(x, dtype=torch.float32).index_add_(0, tokens, outputs)
        return self.tp.all_reduce(mixed.to(x.dtype))

    def run_by_expert(self, x: Tensor, experts: Tensor) -> Tensor:  # [n, D] and sorted [n] -> [n, D]
        sizes = experts.bincount(minlength=len(self.gate)).tolist()
        w13, w2 = self._laid_out or (plain(self.w13), plain(self.w2))
        groups = group_small_experts(sizes, most=_MOST_HIDDEN // self.hidden_width)
        parts = zip(x.split([*map(sum, groups)]), groups, strict=True)
        return torch.cat([w2(swish_product(w13(part, group)), group) for part, group in parts])

    def run_grouped(self, x: Tensor, experts: Tensor) -> Tensor:
        """The same in one multiplication for all experts, without waiting for how many tokens each has."""
        every = torch.arange(len(self.gate), device=x.device)
        outputs = torch.empty_like(x)
        for part, of_part, output in zip(*(t.split(_GROUPED) for t in (x, experts, outputs)), strict=True):
            ends = torch.searchsorted(of_part, every, right=True).to(torch.int32)  # [E]
            hidden = swish_product(F.grouped_mm(part, self.w13.transpose(-2, -1), offs=ends))
            output.copy_(F.grouped_mm(hidden, self.w2.transpose(-2, -1), offs=ends))
        return outputs


class FeedForward(nn.Module):
    is_sync_free = True

    def __init__(self, config: ModelConfig, tp: TensorParallel) -> None:
        super().__init__()
        self.tp = tp
        share = tp.share(config.ffn_dim, "intermediate_size")
        D, F_ = config.dim, share.stop - share.start
        self.w13 = Linear(2 * F_, D)  # w1 above w3
        self.w2 = Linear(D, F_)

    def lay_out(self, layout: Layout) -> None:
        self.w13.lay_out(layout)
        self.w2.lay_out(layout)

    def forward(self, x: Tensor, observe: RoutingObserver | None) -> Tensor:  # [N, D] -> [N, D]
        return self.tp.all_reduce(self.w2(swish_product(self.w13(x))))


def group_small_experts(sizes: list[int], most: int) -> list[list[int]]:
    """Each expert's rows -> the same in groups of consecutive experts: `most` rows at most, or one expert."""
    groups = [[0] * len(sizes)]
    for expert, size in enumerate(sizes):
        if size and any(groups[-1]) and sum(groups[-1]) + size > most:
            groups.append([0] * len(sizes))
        groups[-1][expert] = size
    return groups


def has_grouped_matmul(device: torch.device, dtype: torch.dtype, *widths: int) -> bool:
    """Elsewhere torch multiplies group by group, too, and waits for the device before each of them."""
    return (
        device.type == "cuda"
        and dtype is torch.bfloat16
        and torch.cuda.get_device_capability(device)[0] in (9, 10)
        and not any(width % 8 for width in widths)  # rows begin at multiples of 16 bytes
    )


def swish_product(gate_up: Tensor) -> Tensor:  # [N, 2 F] -> [N, F]
    gate, up = gate_up.chunk(2, dim=-1)
    return F.silu(gate) * up
