"""Weights that stay small: quantized as they are read, or kept in the few bits that they are stored in.

A model begins without memory. Each weight is read, quantized and laid out before the next one is read, so
that beside the result no more than one expert's matrix, or one layer's projection, is in memory as numbers.
E experts, O output and I input features.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from model.checkpoint.adapter import Adapter
from model.checkpoint.hf_names import match_weights
from model.checkpoint.kept_weights import Part, kept_matrices, matrices, multiplied, parts_by_parameter
from model.checkpoint.tensor_files import bounds
from model.linear.choose import layout_for
from model.linear.codebook import BLOCK, Codebook, codebook_part, joined_codebooks, quantized_codebook
from model.linear.grid import Grid, grid_part, joined_grids, quantized_grid
from model.linear.held import Held, held, multiply_held
from model.linear.layout import Multiply, plain
from model.network.rope import RoPE
from model.network.transformer import Transformer

HELD = ("int4", "nf4")  # values of `quantization` by which weights are quantized one by one
_GROUP = 128  # inputs that share a scale in int4


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
    by_parameter = parts_by_parameter(list(match_weights(model, files)))
    done: dict[int, Multiply] = {}
    for parameter, may_quantize in multiplied(model):
        of_it = by_parameter.pop(id(parameter))
        few = _held(parameter, of_it, adapter, quantization, dtype, device) if may_quantize else None
        if few is not None:
            done[id(parameter)] = multiply_held(few)
        else:
            filled = _numbers(parameter, of_it, adapter, dtype, device)
            done[id(parameter)] = (layout_for(dtype, device, "none") or plain)(filled)
    _fill_rest(model, by_parameter, adapter, device)
    # Linear layers show their weight as one matrix of several, [1, O, I]: a view, with the parameter as base.
    model.lay_out(lambda weights: done[id(weights if weights._base is None else weights._base)])
    model.rope = RoPE(model.config.head_dim, model.config.rope).to(device)


def _held(
    parameter: Tensor,
    parts: list[Part],
    adapter: Adapter | None,
    quantization: str,
    dtype: torch.dtype,
    device: torch.device,
) -> list[Held] | None:
    """Each matrix of a parameter [O, I] or [E, O, I]; None if it is not quantized in one way."""
    if quantization == "none" and kept_matrices(parameter, parts, adapter) is None:
        return None
    found: list[Held] = []
    for of_matrix in matrices(parameter, parts):
        if quantization == "none":
            weight = _joined([_as_stored(one) for one in of_matrix])
            if weight is None:  # their tables differ
                return None
        else:
            numbers = torch.cat([_read(one, adapter).to(device).float() for one in of_matrix])
            weight = _quantized(numbers, quantization, of_matrix[0].source.name)
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


def _as_stored(one: Part) -> Grid | Codebook:
    """This rank's part of a weight in the bits that it is stored in."""
    weight = one.stored.read()
    rows, columns = bounds(one.slices, one.stored.shape)
    if isinstance(weight, Grid):
        return grid_part(weight, rows, columns)
    assert isinstance(weight, Codebook)
    return codebook_part(weight, rows, columns)


def _joined(parts: Sequence[Grid | Codebook]) -> Grid | Codebook | None:
    grids = [part for part in parts if isinstance(part, Grid)]
    codebooks = [part for part in parts if isinstance(part, Codebook)]
    if len(grids) == len(parts):
        return joined_grids(grids)
    return joined_codebooks(codebooks) if len(codebooks) == len(parts) else None


def _read(one: Part, adapter: Adapter | None) -> Tensor:
    part: Tensor = one.stored[one.slices].reshape(one.source.target.shape)
    return adapter.merged(one.source, part) if adapter else part


def _numbers(
    parameter: Tensor,
    parts: list[Part],
    adapter: Adapter | None,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:  # [E, O, I]
    filled = torch.empty(parameter.shape, dtype=dtype, device=device)
    for one in parts:
        target = one.source.target
        filled.as_strided(target.shape, target.stride(), target.storage_offset()).copy_(_read(one, adapter))
    return filled if filled.ndim == 3 else filled[None]


def _fill_rest(
    model: Transformer, by_parameter: dict[int, list[Part]], adapter: Adapter | None, device: torch.device
) -> None:
    """Embeddings, norms, routers and heads of labels, in the types that the model has for them."""
    for module in model.modules():
        for name, parameter in [*module.named_parameters(recurse=False)]:
            if id(parameter) in by_parameter:
                numbers = _numbers(parameter, by_parameter[id(parameter)], adapter, parameter.dtype, device)
                filled = nn.Parameter(numbers.view(parameter.shape), requires_grad=False)
                setattr(module, name, filled)


def _on(weight: Grid | Codebook, device: torch.device) -> Grid | Codebook:
    moved: dict[str, Any] = {
        name: value.to(device) for name, value in vars(weight).items() if isinstance(value, Tensor)
    }
    return replace(weight, **moved)
