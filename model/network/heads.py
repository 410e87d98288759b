"""The head of a checkpoint, on top of the last hidden states: of the vocabulary, of labels, or none at all.

n tokens, D width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.config import ModelConfig
from model.network.tensor_parallel import TensorParallel, VocabParallelEmbedding
from model.trained_head import HeadKind


class LabelHead(nn.Module):
    """Numbers of a few labels, in float32 whatever the model computes in. Every rank holds all of it."""

    def __init__(self, outputs: int, dim: int, has_bias: bool) -> None:
        super().__init__()
        self.weight = _parameter(outputs, dim)
        self.bias = _parameter(outputs) if has_bias else None

    def forward(self, x: Tensor) -> Tensor:  # [n, D] -> [n, outputs]
        return F.linear(x.float(), self.weight, self.bias)


def head_of(
    config: ModelConfig, tp: TensorParallel, embedding: VocabParallelEmbedding
) -> VocabParallelEmbedding | LabelHead | nn.Identity:
    """Of the model whose token embeddings are `embedding`. Without a head it gives the hidden states."""
    trained = config.trained
    if trained.kind is HeadKind.NONE:
        return nn.Identity()
    if trained.kind is not HeadKind.LANGUAGE:
        return LabelHead(trained.outputs, config.dim, trained.has_bias)
    if config.tie_embeddings:
        return embedding
    return VocabParallelEmbedding(config.vocab_size, config.dim, tp)


def _parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.empty(*shape, dtype=torch.float32), requires_grad=False)
