from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from model.machine import to_device as module
from model.machine.to_device import to_device

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Inner:
    mask: Any
    count: int
    name: str


@dataclass(frozen=True)
class Outer:
    ids: Any
    inner: Inner | None
    by_name: dict[str, Any]
    several: list[Any]


def prepared():
    return Outer(
        ids=np.arange(5),
        inner=Inner(np.array([[True, False, True]]), 3, "a"),
        by_name={"b": np.zeros(0, dtype=np.int64), "c": np.array([7], dtype=np.int32)},
        several=[np.array([0.5, 1.5]), None, np.arange(12).reshape(3, 4)[:, ::2]],
    )


@pytest.fixture(params=["shared", "copied"])
def as_on(request):
    """A CPU's memory, shared or, as for any other device, by one copy."""
    if request.param == "copied":
        return lambda tree: module._replaced(tree, iter(module._copied([*module._arrays(tree)], CPU)))
    return lambda tree: to_device(tree, CPU)


def test_arrays_become_tensors_of_the_same_numbers_and_the_rest_stays(as_on):
    given, sent = prepared(), as_on(prepared())
    for name, tensor in {
        "ids": sent.ids,
        "mask": sent.inner.mask,
        "empty": sent.by_name["b"],
        "int32": sent.by_name["c"],
        "float": sent.several[0],
        "strided": sent.several[2],
    }.items():
        assert isinstance(tensor, torch.Tensor), name
    assert sent.ids.tolist() == given.ids.tolist()
    assert (sent.inner.mask.tolist(), sent.inner.mask.dtype) == ([[True, False, True]], torch.bool)
    assert (sent.by_name["b"].shape, sent.by_name["b"].dtype) == ((0,), torch.int64)
    assert (sent.by_name["c"].tolist(), sent.by_name["c"].dtype) == ([7], torch.int32)
    assert (sent.several[0].tolist(), sent.several[0].dtype) == ([0.5, 1.5], torch.float64)
    assert sent.several[1] is None
    assert sent.several[2].tolist() == given.several[2].tolist()
    assert (sent.inner.count, sent.inner.name) == (3, "a")


def test_on_a_cpu_nothing_is_copied():
    array = np.arange(5)
    to_device({"x": array}, CPU)["x"][0] = 9
    assert array[0] == 9


def test_nothing_to_send():
    assert to_device(Inner(None, 1, "a"), CPU) == Inner(None, 1, "a")
