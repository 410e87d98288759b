"""Compile what the launchers launch, for a GPU that is not there: a program that prints JSON.

    python -m tests.gpu_without_gpu.compile_kernels 8x7b/bfloat16/80 8x22b/float16/90

Triton compiles a kernel for its arguments right before it launches it. Here a driver without a device
names the GPU, and nothing is launched. The program needs a process of its own, since Triton interprets
kernels in the suite's.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from typing import Any

from triton import knobs
from triton.backends.compiler import GPUTarget
from triton.compiler import CompiledKernel
from triton.runtime.driver import driver
from triton.runtime.jit import JITFunction

from tests.gpu_without_gpu.kernel_calls import CALLS, DTYPES, HEADS

_MATRIX_UNITS = r"\b(mma\.sync|wgmma\.mma_async|tcgen05\.mma)"
_RESOURCES = r"(REG|STACK|LOCAL):(\d+)"  # STACK and LOCAL hold spilled registers


class NoDevice:
    """A driver for a GPU of some compute capability, which can compile and nothing else."""

    def __init__(self, capability: int) -> None:
        self.capability = capability

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", self.capability, 32)

    def get_current_device(self) -> int:
        return self.capability  # compiled kernels are kept by device

    def get_current_stream(self, device: int) -> int:
        return 0


def compiled(case: str) -> list[dict[str, Any]]:
    """The resources of each kernel that the launchers launch for one case."""
    heads, dtype, capability = case.split("/")
    driver.set_active(NoDevice(int(capability)))
    kernels: list[CompiledKernel] = []
    launch = JITFunction.run

    def compile_only(kernel: JITFunction, *arguments: Any, grid: Any, warmup: bool, **options: Any) -> None:
        kernels.append(launch(kernel, *arguments, grid=grid, warmup=True, **options))

    JITFunction.run = compile_only
    try:
        for call in CALLS:
            call(HEADS[heads], DTYPES[dtype])
    finally:
        JITFunction.run = launch
    return [{"case": case} | _taken(kernel) for kernel in kernels]


def _taken(kernel: CompiledKernel) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        command = [knobs.nvidia.cuobjdump.path, "--dump-resource-usage", file.name]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = {name: int(number) for name, number in re.findall(_RESOURCES, said)}
    return {
        "kernel": kernel.metadata.name,
        "threads": kernel.metadata.num_warps * 32,
        "registers": found["REG"],
        "spilled_bytes": found["STACK"] + found["LOCAL"],
        "shared_bytes": kernel.metadata.shared,
        "matrix_units": len(re.findall(_MATRIX_UNITS, kernel.asm["ptx"])),
    }


if __name__ == "__main__":
    assert "TRITON_INTERPRET" not in os.environ, "the interpreter compiles nothing"
    print(json.dumps([kernel for case in sys.argv[1:] for kernel in compiled(case)]))
