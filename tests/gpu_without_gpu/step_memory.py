"""The most memory that a step takes on a pretended device, beside the weights and the cache."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._pytree import tree_leaves

from model.requests.request import Request
from tests.gpu_without_gpu.pretended_device import PretendedDevice
from tests.gpu_without_gpu.pretended_engine import pretended_engine

_LAYERS = 2  # more would not raise the peak: a layer's memory is freed before the next one's


class StorageSizes(PretendedDevice):
    """Adds up what is alive after each operator: less than a GPU takes, whose kernels have workspaces."""

    def clear(self) -> None:
        super().clear()
        self.peak_bytes = 0
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = {storage._cdata for storage in _storages((args, kwargs))}
        result = super().__torch_dispatch__(func, types, args, kwargs)
        for storage in _storages(result):
            if storage._cdata not in before:
                self._alive[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self._alive = {key: one for key, one in self._alive.items() if not one[0].expired()}
        self.peak_bytes = max(self.peak_bytes, sum(size for _, size in self._alive.values()))
        return result


def peak_bytes(requests: list[Request], hidden_layers: Sequence[int] = ()) -> int:
    """The most memory of the step that prefills all these requests."""
    device = StorageSizes()
    with pretended_engine(device, _LAYERS, hidden_layers=hidden_layers) as engine:
        for request in requests:
            engine.submit(request)
        device.clear()
        engine.step()
        assert not engine.scheduler.waiting, "they are more than a step's budget"
    return device.peak_bytes


def _storages(tree: Any) -> list[torch.UntypedStorage]:
    return [x.untyped_storage() for x in tree_leaves(tree) if isinstance(x, Tensor) and x.is_meta]
