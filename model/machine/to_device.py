"""What the host knows of a step, sent to the device in one copy that the host does not wait for."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# What a dataclass holds numbers in: arrays while the host prepares it, tensors once it is on the device.
Numbers = TypeVar("Numbers", bound=NDArray[Any] | Tensor)

_ALIGNED = 16  # bytes: where an array may begin in the copy


def to_device(prepared: Any, device: torch.device) -> Any:
    """A dataclass, dict or list -> the same, with a tensor on the device in place of each NumPy array in it.

    On a CPU the tensors share the arrays' memory.
    """
    arrays = [*_arrays(prepared)]
    if not arrays:
        return prepared
    tensors = [*map(torch.from_numpy, arrays)] if device.type == "cpu" else _copied(arrays, device)
    return _replaced(prepared, iter(tensors))


def _copied(arrays: list[NDArray[Any]], device: torch.device) -> list[Tensor]:
    begins, end = [], 0
    for array in arrays:
        begins.append(end)
        end += -(-array.nbytes // _ALIGNED) * _ALIGNED
    # Memory of this kind is not used again before copies from it have ended: torch sees to that.
    host = torch.empty(end, dtype=torch.uint8, pin_memory=device.type == "cuda")
    held = host.numpy()
    for array, begin in zip(arrays, begins, strict=True):
        held[begin : begin + array.nbytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    sent = host.to(device, non_blocking=True)
    return [
        sent[begin : begin + array.nbytes].view(_dtype(array)).view(array.shape)
        for array, begin in zip(arrays, begins, strict=True)
    ]


def _dtype(array: NDArray[Any]) -> torch.dtype:
    return torch.from_numpy(np.empty(0, dtype=array.dtype)).dtype


def _parts(prepared: Any) -> list[Any]:
    if is_dataclass(prepared):
        return [getattr(prepared, field.name) for field in fields(prepared)]
    if isinstance(prepared, dict):
        return [*prepared.values()]
    return prepared if isinstance(prepared, list) else []


def _arrays(prepared: Any) -> Iterator[NDArray[Any]]:
    if isinstance(prepared, np.ndarray):
        yield prepared
    for part in _parts(prepared):
        yield from _arrays(part)


def _replaced(prepared: Any, tensors: Iterator[Tensor]) -> Any:
    if isinstance(prepared, np.ndarray):
        return next(tensors)
    parts = [_replaced(part, tensors) for part in _parts(prepared)]
    if is_dataclass(prepared) and not isinstance(prepared, type):
        return replace(prepared, **dict(zip((field.name for field in fields(prepared)), parts, strict=True)))
    if isinstance(prepared, dict):
        return dict(zip(prepared, parts, strict=True))
    return parts if isinstance(prepared, list) else prepared
