"""Tensor parallelism: which slice of a weight a rank holds, and how ranks add up their parts.

N tokens, D width, V vocabulary. Column parallel: a rank holds some of the output features. Row parallel:
a rank holds some of the input features, and partial sums are added over all ranks (Shoeybi et al. 2019,
arXiv 1909.08053).
"""

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from model.linear.linear import Linear


@dataclass(frozen=True)
class TensorParallel:
    """Which of a replica's `size` ranks this process is."""

    rank: int = 0
    size: int = 1

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"tensor_parallel must be at least 1, got {self.size}")

    def share(self, features: int, what: str) -> slice:
        """This rank's slice of `features`; ValueError if they don't divide evenly."""
        if features % self.size:
            raise ValueError(
                f"tensor_parallel must divide the model's {what} ({features}), got {self.size}: "
                f"choose another tensor_parallel"
            )
        per_rank = features // self.size
        return slice(self.rank * per_rank, (self.rank + 1) * per_rank)

    def kv_share(self, kv_heads: int) -> slice:
        """This rank's KV heads; with more ranks than KV heads, several ranks hold the same one."""
        if kv_heads % self.size and self.size % kv_heads:
            raise ValueError(
                f"tensor_parallel must divide the model's KV heads ({kv_heads}) or be a multiple of them, "
                f"got {self.size}: choose another tensor_parallel"
            )
        per_rank = max(1, kv_heads // self.size)
        start = self.rank * kv_heads // self.size
        return slice(start, start + per_rank)

    def vocabulary_share(self, vocab_size: int) -> slice:
        """This rank's token ids; the last rank may hold fewer, but not none."""
        per_rank = -(-vocab_size // self.size)
        if (self.size - 1) * per_rank >= vocab_size:
            raise ValueError(
                f"tensor_parallel must leave every rank a part of the vocabulary ({vocab_size}), "
                f"got {self.size}: choose another tensor_parallel"
            )
        return slice(self.rank * per_rank, min((self.rank + 1) * per_rank, vocab_size))

    def all_reduce(self, partial: Tensor) -> Tensor:
        """The sum of all ranks' parts, in place."""
        if self.size > 1:
            dist.all_reduce(partial)
        return partial

    def all_gather_features(self, part: Tensor, features: int) -> Tensor:
        """[N, this rank's features] -> [N, features], the ranks' parts side by side."""
        if self.size == 1:
            return part
        per_rank = -(-features // self.size)
        padded = F.pad(part, (0, per_rank - part.shape[1])).contiguous()
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded)
        return torch.cat(parts, dim=1)[:, :features]


class VocabParallelEmbedding(Linear):
    """Token embeddings, the head, or both of a model that ties them: each rank holds some rows of [V, D].

    `embed` looks token embeddings up; calling it computes logits, as the head does. A head that is not the
    embedding can therefore be laid out like any linear layer. Logits are in float32 whatever the weights
    are: bfloat16 has steps of 1/8 from 16 on, by which the probability of an unsure label changes by 0.03.
    """

    def __init__(self, vocab_size: int, dim: int, tp: TensorParallel) -> None:
        rows = tp.vocabulary_share(vocab_size)
        super().__init__(rows.stop - rows.start, dim)
        self.vocab_size = vocab_size
        self.rows = rows
        self.tp = tp

    def embed(self, token_ids: Tensor) -> Tensor:
        """[N] -> [N, D], unless it is laid out."""
        if self.tp.size == 1:
            return F.embedding(token_ids, self.weight)
        local = token_ids - self.rows.start
        elsewhere = (local < 0) | (local >= len(self.weight))
        x = F.embedding(local.masked_fill(elsewhere, 0), self.weight)
        return self.tp.all_reduce(x.masked_fill(elsewhere[:, None], 0.0))

    def forward(self, x: Tensor) -> Tensor:  # [N, D] -> logits [N, V] in float32
        return self.tp.all_gather_features(super().forward(x.float()), self.vocab_size)
