"""An executor on a CPU, for tests that call it without an engine."""

import torch

from model.execution.executor import Executor
from model.execution.options import ExecutorOptions
from model.network.tensor_parallel import TensorParallel


def executor_of(folder, pages=90, page_size=4, statistics=False):
    options = ExecutorOptions(
        folder,
        dtype=torch.float32,
        device=torch.device("cpu"),
        threads=1,
        slots=8,
        pages=pages,
        page_size=page_size,
        quantization="none",
        attention="auto",
        statistics=statistics,
    )
    return Executor(options, TensorParallel())
