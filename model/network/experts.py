"""The feed-forward half of a block: top-K of E SiLU experts, or one dense SiLU network.

N tokens, D width, F hidden width of an expert (this rank's share of it), E experts, K chosen per token.
Mixtral of Experts, arXiv 2401.04088, section 2.1.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.config import ModelConfig
from model.kernels.kernels import Kernels
from model.linear.layout import Layout, Multiply, MultiplyByEnds, plain
from model.linear.linear import Linear
from model.linear.panel_experts import RunExperts, gates_in_panels, run_in_panels
from model.linear.panels import IN_PANELS, panels
from model.network.tensor_parallel import TensorParallel

# Experts with few tokens are computed in one call, as long as their hidden states have no more numbers than
# this: each call costs time, and larger hidden states don't stay in the CPU's caches.
_MOST_HIDDEN = 1 << 19
# Assignments (a token and one of its experts) that run_grouped computes at a time: their hidden states must
# fit into the GPU's memory beside the KV cache.
_GROUPED = 1 << 14

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
        self._by_ends: tuple[MultiplyByEnds, MultiplyByEnds] | None = None  # the same
        self._in_panels: RunExperts | None = None
        self._router: Multiply | None = None

    @property
    def is_sync_free(self) -> bool:
        """Whether the host need not wait for the device: all experts are one multiplication there."""
        if self._in_panels or self._laid_out:
            return self._by_ends is not None
        return has_grouped_matmul(self.w2.device, self.w2.dtype, *self.w2.shape[1:])

    def lay_out(self, layout: Layout) -> None:
        if layout in IN_PANELS:
            lay_out = IN_PANELS[layout]
            of_hidden = lay_out(self.w2)
            del self.w2  # freed before w13 is copied
            of_gates = gates_in_panels(self.w13, of_hidden, lay_out)
            del self.w13
            self._in_panels = run_in_panels(of_gates, of_hidden)
            self._router = panels(self.gate[None])  # never in 8 bits: it chooses
            return
        w13 = layout(self.w13)
        del self.w13  # freed before w2 is copied
        w2 = layout(self.w2)
        del self.w2
        self._laid_out = w13, w2
        if isinstance(w13, MultiplyByEnds) and isinstance(w2, MultiplyByEnds):
            self._by_ends = w13, w2

    def forward(self, x: Tensor, observe: RoutingObserver | None, kernels: Kernels) -> Tensor:
        """[N, D] -> [N, D]"""
        router_logits = self._router(x, [len(x)]) if self._router else F.linear(x, self.gate)  # [N, E]
        routed = kernels.route(router_logits, self.num_chosen)
        if observe is not None:
            observe(self.layer, router_logits, routed.chosen, routed.weights)
        if self._in_panels is not None:
            outputs = self._in_panels(x, routed.tokens, routed.ends)  # [N * K, D]
        else:
            run = self.run_grouped if self.is_sync_free else self.run_by_expert
            outputs = run(x, routed.tokens, routed.ends, kernels)
        return self.tp.all_reduce(kernels.weighted_sum(outputs, routed.places, routed.weights))

    def run_by_expert(self, x: Tensor, tokens: Tensor, ends: Tensor, kernels: Kernels) -> Tensor:
        """[N, D] and the assignments, see Routed: tokens [n], ends [E] -> each assignment's output [n, D]."""
        of_experts = ends.tolist()
        sizes = [end - begin for begin, end in zip([0, *of_experts], of_experts, strict=False)]
        w13, w2 = self._laid_out or (plain(self.w13), plain(self.w2))
        groups = group_small_experts(sizes, most=_MOST_HIDDEN // self.hidden_width)
        parts = zip(x[tokens].split([*map(sum, groups)]), groups, strict=True)
        outputs = [w2(kernels.swish_product(w13(part, group)), group) for part, group in parts]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

    def run_grouped(self, x: Tensor, tokens: Tensor, ends: Tensor, kernels: Kernels) -> Tensor:
        """The same in one multiplication for all experts, without waiting for how many tokens each has."""
        n = len(tokens)
        if n <= _GROUPED:
            return self._multiply_grouped(x[tokens], ends, kernels)
        outputs = x.new_empty(n, x.shape[1])
        for begin in range(0, n, _GROUPED):
            part = slice(begin, begin + _GROUPED)
            ends_of_part = (ends - begin).clamp(0, len(tokens[part]))
            outputs[part] = self._multiply_grouped(x[tokens[part]], ends_of_part, kernels)
        return outputs

    def _multiply_grouped(self, x: Tensor, ends: Tensor, kernels: Kernels) -> Tensor:  # [n, D] -> [n, D]
        if self._by_ends:
            w13, w2 = self._by_ends
            return w2.by_ends(kernels.swish_product(w13.by_ends(x, ends)), ends)
        hidden = kernels.swish_product(F.grouped_mm(x, self.w13.transpose(-2, -1), offs=ends))
        return F.grouped_mm(hidden, self.w2.transpose(-2, -1), offs=ends)


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

    def forward(self, x: Tensor, observe: RoutingObserver | None, kernels: Kernels) -> Tensor:
        """[N, D] -> [N, D]"""
        return self.tp.all_reduce(self.w2(kernels.swish_product(self.w13(x))))


def group_small_experts(sizes: list[int], most: int) -> list[list[int]]:
    """Each expert's number of rows [E] -> groups of consecutive experts, each as such a list [E].

    A group has `most` rows at most, or one expert; experts of other groups have no rows in it.
    """
    groups = [[0] * len(sizes)]
    for expert, size in enumerate(sizes):
        if size and any(groups[-1]) and sum(groups[-1]) + size > most:
            groups.append([0] * len(sizes))
        groups[-1][expert] = size
    return groups


def has_grouped_matmul(device: torch.device, dtype: torch.dtype, *widths: int) -> bool:
    """Whether torch multiplies all groups in one kernel. Else it waits for the device before each group."""
    return (
        device.type == "cuda"
        and dtype is torch.bfloat16
        and torch.cuda.get_device_capability(device)[0] in (9, 10)
        and not any(width % 8 for width in widths)  # rows begin at multiples of 16 bytes
    )
