"""Mixtral-8x7B's engine on a pretended device: its widths, fewer layers, and the path that a GPU takes.

No other file here replaces the engine's internals.
"""

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from benchmarks.random_checkpoint import SIZES
from model.config import ModelConfig
from model.engine import Engine
from model.execution.decode_graphs import DecodeGraphs
from model.execution.executor import Executor
from model.network.tensor_parallel import TensorParallel
from model.network.transformer import Transformer
from tests.gpu_without_gpu.pretended_device import DEVICE, ListsAreCopied, PretendedDevice
from tests.gpu_without_gpu.pretended_kernels import pretended_kernels

CONTEXT = 32768
GPU_PAGE = 64


@contextmanager
def pretended_engine(
    device: PretendedDevice,
    layers: int,
    *,
    grouped: bool = True,
    rows: int = 256,
    cache_tokens: int = 300_000,
    hidden_layers: Sequence[int] = (),
) -> Iterator[Engine]:
    """With `grouped` as on a GPU that multiplies all experts at once; without, one expert after the other."""
    with ExitStack() as stack:
        for patch in _patches(device, grouped):
            stack.enter_context(patch)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sizes = SIZES["8x7b"] | {"num_hidden_layers": layers, "max_position_embeddings": CONTEXT}
        (folder / "config.json").write_text(json.dumps(sizes))
        stack.enter_context(device)
        stack.enter_context(ListsAreCopied())
        yield Engine.load(
            folder,
            "bfloat16",
            threads=1,
            max_batch_rows=rows,
            kv_cache_tokens=cache_tokens,
            random_weights=True,
            hidden_layers=hidden_layers,
        )


def _patches(device: PretendedDevice, grouped: bool) -> list[Any]:
    def attend_pages(q: Tensor, keys: Tensor, values: Tensor, *reads: Tensor) -> tuple[Tensor, Tensor]:
        """Checks what the kernel demands of its arguments; other tests check its numbers."""
        assert all(x.is_contiguous() for x in (q, keys, values))
        assert reads[0].stride(1) == 1
        assert {x.device for x in (q, keys, values, *reads)} == {DEVICE}
        assert {x.dtype for x in reads} == {torch.int32}
        device.operators["attend_pages"] += 1
        return torch.empty_like(q), q.new_empty(q.shape[:2], dtype=torch.float32)

    def capture(graphs: DecodeGraphs, compute: Callable[[], Tensor]) -> Callable[[], Tensor]:
        def replay() -> Tensor:
            with device.capture():
                return compute()

        return replay

    # Inference mode would hide the operators of which a composed one is made.
    forward = torch.no_grad()(Executor.forward.__wrapped__)
    return [
        mock.patch("model.execution.options.page_size", return_value=GPU_PAGE),
        mock.patch("model.execution.options.default_device", return_value=DEVICE),
        mock.patch("model.execution.executor.wants_flash", return_value=True),
        mock.patch("model.execution.executor.kernels_for", return_value=pretended_kernels(device)),
        mock.patch("model.execution.executor.random_transformer", _transformer),
        mock.patch("model.network.experts.has_grouped_matmul", return_value=grouped),
        mock.patch("model.attention.triton_kernel.attend_pages", attend_pages),
        mock.patch.object(DecodeGraphs, "_capture", capture),
        mock.patch.object(Executor, "forward", forward),
    ]


def _transformer(folder: Path, dtype: torch.dtype, device: torch.device, tp: TensorParallel) -> Transformer:
    """Without Module.to, which refuses to copy to a meta tensor what is on the host."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            made = Transformer(ModelConfig.from_folder(folder), tp)
    finally:
        torch.set_default_dtype(before)
    made.rope.inverse_frequencies = made.rope.inverse_frequencies.to(device)
    return made.eval()
