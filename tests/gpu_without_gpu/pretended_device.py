"""A GPU that computes shapes and no numbers, and writes down what a step asks of it.

Its tensors are torch's "meta" tensors; what the host computes is real. An operator that mixes devices raises,
and so does a captured step that waits for the device, copies to it or computes on the host: a graph replays
what was launched and nothing else.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.weak import WeakTensorKeyDictionary

DEVICE = torch.device("meta")
_aten = torch.ops.aten
_ALLOCATE = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "detach", "lift_fresh")
_INDEX = (
    _aten.index.Tensor,
    _aten.index_put.default,
    _aten.index_put_.default,
    _aten._index_put_impl_.default,
)


class PretendedDevice(TorchDispatchMode):
    """Counts operators by their names, and copies and waits by the line of model/ where they happen."""

    def __init__(self) -> None:
        super().__init__()
        # The values that the host knows of tensors on the device, such as how many numbers a mask chooses.
        self._values = WeakTensorKeyDictionary()
        self._capturing = False
        self.clear()

    def clear(self) -> None:
        self.operators: Counter[str] = Counter()  # each launches one kernel or, like sort, several
        self.asynchronous_copies: Counter[str] = Counter()  # from pinned memory of the host
        self.waits: Counter[str] = Counter()  # for results, and for copies from memory that is not pinned

    def know(self, x: Tensor, values: list[int]) -> None:
        """What the host reads where it asks for x, which it can't in a captured step."""
        if not self._capturing:
            self._values[x] = torch.tensor(values, dtype=x.dtype)

    @contextmanager
    def capture(self) -> Iterator[None]:
        self._capturing = True
        try:
            yield
        finally:
            self._capturing = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        kwargs.pop("pin_memory", None)
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        target = torch.device(kwargs["device"]) if kwargs.get("device") is not None else None
        if not any(x.is_meta for x in tensors) and (target is None or target != DEVICE):
            assert not self._capturing, f"a captured step computes {func} on the host at {_model_line()}"
            return func(*args, **kwargs)
        if func is _aten._to_copy.default and target is not None and target.type != args[0].device.type:
            if target.type == "cpu":
                return self._to_host(args[0], kwargs.get("dtype"))
            return self._to_device(args[0], kwargs.get("dtype"), kwargs.get("non_blocking", False))
        if func is _aten._local_scalar_dense.default:
            return self._to_host(args[0]).item()
        if func is _aten.copy_.default and not args[1].is_meta and args[1].ndim:
            return self._copied_into(*args)
        if func in _INDEX:  # the one kind of operator that takes indices from the host, by a copy
            args = (args[0], tree_map(self._as_on_device, args[1]), *args[2:])
            tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        mixed = [x for x in tensors if not x.is_meta and x.ndim]
        assert not mixed, f"{func} mixes devices at {_model_line()}"
        return self._launch(func, args, kwargs)

    def _launch(self, func: Any, args: Any, kwargs: Any) -> Any:
        name = func._schema.name.removeprefix("aten::")
        if not func.is_view and name not in (*_ALLOCATE, "_unsafe_view"):
            self.operators[name] += 1
        if func is _aten.index.Tensor and any(i is not None and i.dtype is torch.bool for i in args[1]):
            [mask] = args[1]
            self._wait("how many a mask chooses")
            chosen = int(self._values[mask].sum())
            return torch.empty(chosen, *args[0].shape[mask.ndim :], dtype=args[0].dtype, device=DEVICE)
        if func is _aten.bincount.default:  # torch looks for the least and the largest number first
            self._wait("the least number")
            self._wait("the largest number")
            buckets, numbers = args[2], len(args[0])
            counts = torch.empty(buckets, dtype=torch.int64, device=DEVICE)
            self._values[counts] = torch.tensor([(numbers + i) // buckets for i in range(buckets)])
            return counts
        return func(*args, **kwargs)

    def _to_host(self, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Unknown values are True or 0: so logits are finite, and the first token is chosen."""
        self._wait("a result")
        unknown = torch.ones if x.dtype is torch.bool else torch.zeros
        values: Tensor = self._values.get(x, unknown(x.shape, dtype=x.dtype))
        return values.to(dtype or x.dtype, copy=True)

    def _to_device(self, x: Tensor, dtype: torch.dtype | None = None, non_blocking: bool = False) -> Tensor:
        self._copy_to_device(non_blocking)
        strides = x.contiguous().stride()
        copied = torch.empty_strided(x.shape, strides, dtype=dtype or x.dtype, device=DEVICE)
        self._values[copied] = x
        return copied

    def _copied_into(self, into: Tensor, values: Tensor, non_blocking: bool = False) -> Tensor:
        self._copy_to_device(non_blocking)
        return into

    def _copy_to_device(self, non_blocking: bool) -> None:
        if non_blocking:
            assert not self._capturing, f"a captured step copies to the device at {_model_line()}"
            self.asynchronous_copies[_model_line()] += 1
        else:
            self._wait("a copy to the device")

    def _as_on_device(self, x: Any) -> Any:
        return self._to_device(x) if isinstance(x, Tensor) and not x.is_meta and x.ndim else x

    def _wait(self, reason: str) -> None:
        assert not self._capturing, f"a captured step waits for {reason} at {_model_line()}"
        self.waits[f"{reason}, {_model_line()}"] += 1


class ListsAreCopied(TorchFunctionMode):
    """Lists of Python's become tensors without passing a dispatch mode, so their copies are made here."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.tensor and kwargs.get("device") == DEVICE:
            return func(*args, **kwargs | {"device": "cpu"}).to(DEVICE)
        if func in (Tensor.__getitem__, Tensor.__setitem__) and args[0].is_meta:
            several = args[1] if isinstance(args[1], tuple) else (args[1],)
            indices = tuple(torch.tensor(i).to(DEVICE) if isinstance(i, list) else i for i in several)
            args = (args[0], indices, *args[2:])
        return func(*args, **kwargs)


def _model_line() -> str:
    """The line of model/ that runs."""
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if "/model/" in file and "/tests/" not in file and "site-packages" not in file:
            return f"{file.split('/model/')[1]}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "?"
