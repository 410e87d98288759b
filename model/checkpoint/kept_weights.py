"""Which weights can stay in the few bits that they are stored in, and what memory they take then.

The files' headers tell it. A parameter [O, I], or [E, O, I] of all experts, is filled from several stored
tensors, such as those of queries, keys and values. It stays as it is stored if all of them are quantized and
those of a matrix in one way, so that they can be joined, and if no adapter changes any of them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from torch import Tensor, nn

from model.checkpoint.adapter import Adapter
from model.checkpoint.quantized.kept import Kept, joined_kept
from model.checkpoint.quantized.quantized_weight import QuantizedWeight
from model.checkpoint.tensor_files import bounds
from model.checkpoint.weight_map import Slices, Source
from model.config import FewBits
from model.network.experts import Experts
from model.network.tensor_parallel import VocabParallelEmbedding
from model.network.transformer import Block, Transformer


@dataclass(frozen=True)
class Part:
    """A source with the stored tensor and its slices that fill it."""

    source: Source
    stored: Any
    slices: Slices

    def kept(self, adapter: Adapter | None) -> Kept | None:
        """None: it becomes numbers."""
        if not isinstance(self.stored, QuantizedWeight) or self.stored.kept is None:
            return None
        if adapter and adapter.changes(self.source):
            return None
        rows, columns = bounds(self.slices, self.stored.shape)
        return self.stored.kept.part(rows, columns)


def holds_quantized(files: Sequence[Any]) -> bool:
    """Whether an upload has weights that could stay in the bits that they are stored in."""
    weights = [file.get_slice(name) for file in files for name in file.keys()]  # noqa: SIM118
    return any(isinstance(weight, QuantizedWeight) and weight.kept for weight in weights)


def few_bits_of(
    model: Transformer, found: Iterable[tuple[Source, Any, Slices]], adapter: Adapter | None
) -> FewBits:
    """Of all ranks, the model being the first rank's, and `found` what `match_weights` finds for it."""
    by_parameter = parts_by_parameter(found)
    numbers = size = 0
    for parameter, may_quantize in multiplied(model):
        parts = by_parameter[id(parameter)]
        if may_quantize and (kept := kept_matrices(parameter, parts, adapter)):
            numbers += sum(prod(part.source.shape) for part in parts)
            size += model.tp.size * sum(one.nbytes for one in kept)
    return FewBits(numbers, size)


def parts_by_parameter(found: Iterable[tuple[Source, Any, Slices]]) -> dict[int, list[Part]]:
    """By the id of the parameter that they fill."""
    parts: dict[int, list[Part]] = {}
    for source, stored, slices in found:
        # A target is a parameter, or a view of some rows or of one expert, which torch calls its base.
        view = source.target
        parameter = view if view._base is None else view._base
        parts.setdefault(id(parameter), []).append(Part(source, stored, slices))
    return parts


def matrices(parameter: Tensor, parts: Sequence[Part]) -> list[list[Part]]:
    """Of a parameter [O, I] or [E, O, I], the parts of each matrix [O, I], from the first row on."""
    outputs, inputs = parameter.shape[-2:]
    found: dict[int, list[Part]] = {}
    for part in sorted(parts, key=lambda part: part.source.target.storage_offset()):
        # Matrices lie one after another, so that the place of a part's first number tells the expert.
        expert = part.source.target.storage_offset() // (outputs * inputs)
        found.setdefault(expert, []).append(part)
    return [*found.values()]


def kept_matrices(parameter: Tensor, parts: Sequence[Part], adapter: Adapter | None) -> list[Kept] | None:
    """How each matrix lies in memory as it is stored; None: the parameter becomes numbers."""
    found: list[Kept] = []
    for of_matrix in matrices(parameter, parts):
        kept = [one for part in of_matrix if (one := part.kept(adapter)) is not None]
        joined = joined_kept(kept) if len(kept) == len(of_matrix) else None
        if joined is None:
            return None
        found.append(joined)
    return found


def multiplied(model: Transformer) -> Iterator[tuple[nn.Parameter, bool]]:
    """Weights that are laid out, and whether they may be in few bits: the head is not, as in all uploads."""
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
