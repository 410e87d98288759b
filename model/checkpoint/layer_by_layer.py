"""A forward pass that holds one layer's weights at a time, so that a checkpoint of any size can be tried."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from model.checkpoint.hf_names import match_weights
from model.checkpoint.weight_map import Slices, weight_sources
from model.kernels.kernels import PLAIN
from model.network.attention import PaddedAttention
from model.network.rope import RoPE
from model.network.transformer import Block, Transformer


@torch.inference_mode()
def logits_layer_by_layer(model: Transformer, files: Iterable[Any], token_ids: Tensor) -> Tensor:
    """Of one row, [T] -> the head's outputs [T, ...], in the type of the model on the meta device."""
    layers = _Layers(model, files)
    positions = torch.arange(len(token_ids))
    lengths = torch.full_like(positions, len(token_ids)) if model.config.rope.depends_on_length else None
    attend = PaddedAttention(torch.ones(1, len(token_ids), dtype=torch.bool), model.config.sliding_window)
    x, update = layers.filled(model.embedding).embed(token_ids), None
    rope = RoPE(model.config.head_dim, model.config.rope)(positions, x.dtype, lengths)
    layers.empty(model.embedding)
    for block in model.blocks:
        assert isinstance(block, Block)
        x, update = layers.filled(block)(x, update, rope, attend, None, PLAIN)
        layers.empty(block)
    normed = layers.filled(model.norm)(x, update, PLAIN)[1]
    logits: Tensor = layers.filled(model.head)(normed)
    layers.empty(model.head)
    layers.empty(model.norm)
    return logits


class _Layers:
    """Fills modules of a model that is on the meta device, where tensors have no numbers."""

    def __init__(self, model: Transformer, files: Iterable[Any]) -> None:
        self._model = model
        self._stored: dict[str, tuple[Any, Slices]] = {
            source.name: (stored, slices) for source, stored, slices in match_weights(model, files)
        }

    def filled(self, module: nn.Module) -> Any:
        module.to_empty(device="cpu")
        for source in weight_sources(self._model):
            if not source.target.is_meta:
                stored, slices = self._stored[source.name]
                source.target.data.copy_(stored[slices].reshape(source.target.shape))
        return module

    def empty(self, module: nn.Module) -> None:
        module.to("meta")
