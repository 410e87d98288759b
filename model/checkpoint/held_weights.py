"""Weights that stay small: quantized as they are read, or kept in the few bits that they are stored in.

A model begins without memory. Each weight is read, quantized and laid out before the next one is read, so
that beside the result no more than one expert's matrix, or one layer's projection, is in memory as numbers.
E experts, O output and I input features.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from model.checkpoint.adapter import Adapter
from model.checkpoint.fill import Progress
from model.checkpoint.hf_names import match_weights
from model.checkpoint.quantized.quantized_weight import QuantizedWeight
from model.checkpoint.tensor_files import bounds
from model.checkpoint.weight_map import Slices, Source
from model.linear.choose import layout_for
from model.linear.codebook import BLOCK, Codebook, codebook_part, joined_codebooks, quantized_codebook
from model.linear.grid import Grid, grid_part, joined_grids, quantized_grid
from model.linear.held import Held, held, multiply_held
from model.linear.layout import Multiply, plain
from model.network.experts import Experts
from model.network.rope import RoPE
from model.network.tensor_parallel import VocabParallelEmbedding
from model.network.transformer import Block, Transformer

HELD = ("int4", "nf4")  # values of `quantization` by which weights are quantized one by one
_GROUP = 128  # inputs that share a scale in int4


@dataclass(frozen=True)
class _Stored:
    source: Source
    stored: Any
    slices: Slices


def holds_stored(files: Sequence[Any]) -> bool:
    """Whether an upload has weights that can stay in the bits that they are stored in."""
    weights = [file.get_slice(name) for file in files for name in file.keys()]  # noqa: SIM118
    return any(isinstance(weight, QuantizedWeight) and weight.stays_small for weight in weights)


def fill_held(
    model: Transformer,
    files: Sequence[Any],
    adapter: Adapter | None,
    quantization: str,
    dtype: torch.dtype,
    device: torch.device,
) -> None:
    """Fill and lay out a model that is on the meta device. `quantization`: none, or one of HELD.

    ValueError if names or shapes don't fit, or a width can't be quantized so.
    """
    by_parameter: dict[int, list[_Stored]] = {}
    found = list(match_weights(model, files))
    progress = Progress(sum(source.target.nbytes for source, _, _ in found))
    for source, stored, slices in found:
        target = source.target
        whole = target._base if target._base is not None else target
        by_parameter.setdefault(id(whole), []).append(_Stored(source, stored, slices))
    done: dict[int, Multiply] = {}
    for parameter, may_quantize in _multiplied(model):
        of_it = by_parameter.pop(id(parameter))
        matrices = _held(parameter, of_it, adapter, quantization, dtype, device) if may_quantize else None
        if matrices is not None:
            done[id(parameter)] = multiply_held(matrices)
        else:
            filled = _numbers(parameter, of_it, adapter, dtype, device)
            done[id(parameter)] = (layout_for(dtype, device, "none") or plain)(filled)
        progress.add(parameter.nbytes)
    _fill_rest(model, by_parameter, adapter, device)
    model.lay_out(lambda weights: done[id(weights if weights._base is None else weights._base)])
    model.rope = RoPE(model.config.head_dim, model.config.rope).to(device)


def _multiplied(model: Transformer) -> Iterator[tuple[nn.Parameter, bool]]:
    """Weights that are laid out, and whether they are quantized: the head is not, as in all uploads."""
    for block in model.blocks:
        assert isinstance(block, Block)
        yield block.attention.wqkv.weight, True
        yield block.attention.wo.weight, True
        if isinstance(block.feed_forward, Experts):
            yield block.feed_forward.w13, True
            yield block.feed_forward.w2, True
        else:
            yield block.feed_forward.w13.weight, True
            yield block.feed_forward.w2.weight, True
    if isinstance(model.head, VocabParallelEmbedding) and model.head is not model.embedding:
        yield model.head.weight, False


def _held(
    parameter: Tensor,
    stored: list[_Stored],
    adapter: Adapter | None,
    quantization: str,
    dtype: torch.dtype,
    device: torch.device,
) -> list[Held] | None:
    """Each matrix of a parameter [O, I] or [E, O, I]; None if it is not quantized in one way."""
    outputs, inputs = parameter.shape[-2:]
    matrices: dict[int, list[_Stored]] = {}
    for one in sorted(stored, key=lambda one: one.source.target.storage_offset()):
        matrices.setdefault(one.source.target.storage_offset() // (outputs * inputs), []).append(one)
    found: list[Held] = []
    for of_matrix in matrices.values():
        if quantization == "none":
            weight = _joined([_as_stored(one, adapter) for one in of_matrix])
        else:
            numbers = torch.cat([_read(one, adapter).to(device).float() for one in of_matrix])
            weight = _quantized(numbers, quantization, of_matrix[0].source.name)
        if weight is None:
            return None
        found.append(held(_on(weight, device), dtype))
    return found


def _quantized(numbers: Tensor, quantization: str, name: str) -> Grid | Codebook:
    inputs = numbers.shape[1]
    if quantization == "nf4":
        if inputs % BLOCK:
            raise ValueError(f"{name}: quantization nf4 needs a width that {BLOCK} divides, got {inputs}")
        return quantized_codebook(numbers)
    group = next(group for group in (_GROUP, 64, 32, 16, 8, 4, 2, 1) if not inputs % group)
    return quantized_grid(numbers, 4, group)


def _as_stored(one: _Stored, adapter: Adapter | None) -> Grid | Codebook | None:
    """This rank's part of a weight in the bits that it is stored in; None: as plain numbers."""
    if not isinstance(one.stored, QuantizedWeight) or (adapter and adapter.changes(one.source)):
        return None
    weight = one.stored.read()
    rows, columns = bounds(one.slices, one.stored.shape)
    if isinstance(weight, Grid):
        return grid_part(weight, rows, columns)
    return codebook_part(weight, rows, columns) if isinstance(weight, Codebook) else None


def _joined(parts: Sequence[Grid | Codebook | None]) -> Grid | Codebook | None:
    grids = [part for part in parts if isinstance(part, Grid)]
    codebooks = [part for part in parts if isinstance(part, Codebook)]
    if len(grids) == len(parts):
        return joined_grids(grids)
    return joined_codebooks(codebooks) if len(codebooks) == len(parts) else None


def _read(one: _Stored, adapter: Adapter | None) -> Tensor:
    part: Tensor = one.stored[one.slices].reshape(one.source.target.shape)
    return adapter.merged(one.source, part) if adapter else part


def _numbers(
    parameter: Tensor,
    stored: list[_Stored],
    adapter: Adapter | None,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:  # [E, O, I]
    filled = torch.empty(parameter.shape, dtype=dtype, device=device)
    for one in stored:
        target = one.source.target
        filled.as_strided(target.shape, target.stride(), target.storage_offset()).copy_(_read(one, adapter))
    return filled if filled.ndim == 3 else filled[None]


def _fill_rest(
    model: Transformer, stored: dict[int, list[_Stored]], adapter: Adapter | None, device: torch.device
) -> None:
    """Embeddings, norms, routers and heads of labels, in the types that the model has for them."""
    for module in model.modules():
        for name, parameter in [*module.named_parameters(recurse=False)]:
            if id(parameter) in stored:
                numbers = _numbers(parameter, stored[id(parameter)], adapter, parameter.dtype, device)
                filled = nn.Parameter(numbers.view(parameter.shape), requires_grad=False)
                setattr(module, name, filled)


def _on(weight: Grid | Codebook, device: torch.device) -> Grid | Codebook:
    moved: dict[str, Any] = {
        name: value.to(device) for name, value in vars(weight).items() if isinstance(value, Tensor)
    }
    return replace(weight, **moved)
