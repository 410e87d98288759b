"""Weights in few bits on a pretended device: nothing mixes devices, no captured product waits."""

import pytest
import torch
from torch import Tensor

from model.linear.codebook import quantized_codebook
from model.linear.grid import Grid, quantized_grid
from model.linear.held import Unpacked, held
from model.linear.packed_codes import PackedCodes, ScaledBy
from tests.gpu_without_gpu.pretended_device import DEVICE, ListsAreCopied, PretendedDevice


def weights() -> list[Grid | object]:
    numbers = torch.empty(64, 128, device=DEVICE)
    grid = quantized_grid(numbers, 4, 32)
    listed = Grid(4, grid.codes, grid.scales, grid.zeros, torch.empty(128, dtype=torch.int64, device=DEVICE))
    return [grid, quantized_grid(numbers, 8, 128), listed, quantized_codebook(numbers)]


def test_the_plain_path_can_be_captured() -> None:
    device = PretendedDevice()
    with device, ListsAreCopied():
        for weight in weights():
            one = held(weight, torch.bfloat16)  # type: ignore[arg-type]
            assert isinstance(one, Unpacked)
            with device.capture():
                product = one(torch.empty(5, 128, dtype=torch.bfloat16, device=DEVICE))
            assert (product.shape, product.dtype) == ((5, 64), torch.bfloat16)


def test_experts_are_one_launch_that_can_be_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton", reason="there are no wheels of it for this machine")
    from model.linear.triton_held import TritonHeld

    launches: list[tuple[int, int]] = []

    class Launcher:
        def __getitem__(self, grid: tuple[int, int]) -> object:
            def launch(*given: object, **sizes: int) -> None:
                tensors = [x for x in given if isinstance(x, Tensor)]
                assert {x.device for x in tensors} == {DEVICE}
                assert all(x.is_contiguous() for x in tensors)
                launches.append(grid)

            return launch

    monkeypatch.setattr("model.linear.triton_held._multiply_held", Launcher())
    device = PretendedDevice()
    with device, ListsAreCopied():
        experts = TritonHeld(
            PackedCodes(
                outputs=256,
                inputs=128,
                codes=torch.empty(8, 256, 64, dtype=torch.uint8, device=DEVICE),
                halves=True,
                scales=torch.empty(8, 256, device=DEVICE),
                zeros=torch.empty(8, 256, device=DEVICE),
                table=None,
                scaled_by=ScaledBy.GROUP,
                group=128,
                groups=None,
            )
        )
        x, ends = torch.empty(100, 128, device=DEVICE), torch.empty(8, dtype=torch.int32, device=DEVICE)
        device.clear()
        with device.capture():
            assert experts.by_ends(x, ends).shape == (100, 256)
    assert launches == [(100 // 16 + 8, 4)], "blocks of 16 rows, of which each expert may have one in part"
    assert not device.waits
