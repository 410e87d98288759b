"""Weights of few bits as they lie in memory, and what multiplies rows by them.

n rows, I input and O output features, G groups of inputs. Codes of 4 bits lie two in a byte.
"""

from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from model.linear.codebook import Codebook
from model.linear.grid import Grid
from model.linear.layout import Multiply, multiply_each

_GROUPS_OF_TORCH = (32, 64, 128, 256)
_OUTPUTS_OF_TORCH = 16  # its kernel takes a multiple of so many


class Held(Protocol):
    """One weight [O, I]: called, it multiplies."""

    @property
    def nbytes(self) -> int: ...

    def __call__(self, x: Tensor) -> Tensor:  # [n, I] -> [n, O]
        ...


class Unpacked:
    """The plain path: the numbers are made anew for each product, in the type of the rows."""

    def __init__(self, weight: Grid | Codebook) -> None:
        self._halves = bits_of(weight) == 4 and not weight.codes.shape[1] % 2
        codes = weight.codes
        packed = codes[:, ::2] << 4 | codes[:, 1::2] if self._halves else codes
        self._weight = replace(weight, codes=packed.contiguous())

    @property
    def nbytes(self) -> int:
        return sum(value.nbytes for value in vars(self._weight).values() if isinstance(value, Tensor))

    def numbers(self) -> Tensor:  # [O, I] float32
        if not self._halves:
            return self._weight.numbers()
        packed = self._weight.codes
        codes = torch.stack([packed >> 4, packed & 15], -1).flatten(1)
        return replace(self._weight, codes=codes).numbers()

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.numbers().to(x.dtype))


class Int4:
    """A grid of 4 bits in the layout of torch's own kernel for CPUs.

    It is given float32, whatever the rows' type: it takes scales and offsets in the type of its rows, and
    where these are rounded, each for itself, numbers are others and zeros are none.
    """

    def __init__(self, weight: Grid) -> None:
        self._group = weight.codes.shape[1] // weight.scales.shape[1]
        self._packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(weight.codes.int(), 1)
        # The kernel has (code - 8) * scale + offset.
        both = torch.stack([weight.scales, (8 - weight.zeros) * weight.scales], -1)  # [O, G, 2]
        self._scales = both.transpose(0, 1).contiguous()  # [G, O, 2] float32

    @property
    def nbytes(self) -> int:
        return int(self._packed.nbytes + self._scales.nbytes)

    def __call__(self, x: Tensor) -> Tensor:
        rows = x.float().contiguous()
        product: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(
            rows, self._packed, self._group, self._scales
        )
        return product.to(x.dtype)


def held(weight: Grid | Codebook, dtype: torch.dtype) -> Held:
    """The fastest way to multiply rows of `dtype` by the weight where its tensors are."""
    return Int4(weight) if isinstance(weight, Grid) and torch_multiplies(weight) else Unpacked(weight)


def torch_multiplies(weight: Grid) -> bool:
    """Whether torch's kernel for CPUs takes such a weight."""
    outputs, inputs = weight.codes.shape
    return (
        weight.bits == 4
        and weight.codes.device.type == "cpu"
        and weight.groups is None
        and inputs // weight.scales.shape[1] in _GROUPS_OF_TORCH
        and not outputs % _OUTPUTS_OF_TORCH
    )


def multiply_held(weights: list[Held]) -> Multiply:
    """Of experts of one shape, or of a single weight."""
    return lambda x, sizes: multiply_each(lambda rows, weight: weight(rows), weights, x, sizes)


def bits_of(weight: Grid | Codebook) -> int:
    return weight.bits if isinstance(weight, Grid) else 4
