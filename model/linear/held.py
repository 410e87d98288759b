"""Weights of few bits as they lie in memory, and what multiplies rows by them.

n rows, I input and O output features, G groups of inputs. Codes of 4 bits lie two in a byte.
"""

import logging
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

from model.linear.codebook import Codebook
from model.linear.grid import Grid
from model.linear.layout import Multiply, MultiplyByEnds, multiply_each
from model.linear.packed_codes import two_in_a_byte

_GROUPS_OF_TORCH = (32, 64, 128, 256)
_OUTPUTS_OF_TORCH = 16  # its kernel takes a multiple of so many

logger = logging.getLogger(__name__)


class Held(Protocol):
    """One weight [O, I]: called, it multiplies."""

    @property
    def nbytes(self) -> int: ...

    def __call__(self, x: Tensor) -> Tensor:  # [n, I] -> [n, O]
        ...


@runtime_checkable
class Joinable(Protocol):
    """A Held of which several may be multiplied by one kernel."""

    def joined(self, others: Sequence[Held]) -> MultiplyByEnds | None:
        """None if one kernel can't read all of them."""


class Unpacked:
    """The plain path: the numbers are made anew for each product, in the type of the rows."""

    def __init__(self, weight: Grid | Codebook) -> None:
        self._halves = bits_of(weight) == 4 and not weight.codes.shape[1] % 2
        codes = two_in_a_byte(weight.codes) if self._halves else weight.codes.contiguous()
        self._weight = replace(weight, codes=codes)

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
    """A grid of 4 bits in the layout of torch's own kernel for CPUs, which adds up in float32.

    Rows have the type that it was made for.
    """

    def __init__(self, weight: Grid, dtype: torch.dtype) -> None:
        self._group = weight.codes.shape[1] // weight.scales.shape[1]
        self._packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(weight.codes.int(), 1)
        # The kernel has (code - 8) * scale + offset.
        both = torch.stack([weight.scales, (8 - weight.zeros) * weight.scales], -1)  # [O, G, 2]
        self._scales = both.transpose(0, 1).to(dtype).contiguous()  # [G, O, 2]

    @property
    def nbytes(self) -> int:
        return int(self._packed.nbytes + self._scales.nbytes)

    def __call__(self, x: Tensor) -> Tensor:
        rows = x.to(self._scales.dtype).contiguous()
        product: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(
            rows, self._packed, self._group, self._scales
        )
        return product.to(x.dtype)


def held(weight: Grid | Codebook, dtype: torch.dtype) -> Held:
    """The fastest way to multiply rows of `dtype` by the weight where its tensors are."""
    if isinstance(weight, Grid) and torch_multiplies(weight):
        return Int4(weight, dtype)
    if triton_multiplies(weight.codes.device, dtype):
        # Triton comes with torch's builds for GPUs only.
        from model.linear.triton_held import TritonHeld

        return TritonHeld.of(weight)
    return Unpacked(weight)


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


@cache
def triton_multiplies(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the Triton kernel runs there: it is compiled for a small weight, and the product compared."""
    if device.type != "cuda":
        return False
    try:
        from triton.errors import TritonError

        from model.linear.triton_held import TritonHeld
    except ImportError as error:
        logger.warning("weights in few bits take more time than they could: no Triton (%s)", error)
        return False
    codes = torch.arange(32 * 32, device=device).view(32, 32).to(torch.uint8) & 15
    ones = torch.ones(32, 1, device=device)
    small, x = Grid(4, codes, ones, ones), torch.eye(32, dtype=dtype, device=device)
    try:
        runs = torch.equal(TritonHeld.of(small)(x), Unpacked(small)(x))
    except torch.OutOfMemoryError:
        raise
    except (OSError, RuntimeError, TritonError, subprocess.CalledProcessError) as error:
        logger.warning("weights in few bits take more time than they could: Triton fails (%s)", error)
        return False
    if not runs:
        logger.warning("weights in few bits take more time than they could: Triton multiplies wrongly here")
    return runs


def multiply_held(weights: list[Held]) -> Multiply:
    """Of experts of one shape, or of a single weight; experts that one kernel can read are put together."""
    first, *others = weights
    together = first.joined(others) if others and isinstance(first, Joinable) else None
    return together or (lambda x, sizes: multiply_each(lambda rows, weight: weight(rows), weights, x, sizes))


def bits_of(weight: Grid | Codebook) -> int:
    return weight.bits if isinstance(weight, Grid) else 4
