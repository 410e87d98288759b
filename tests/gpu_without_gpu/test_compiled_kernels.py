"""Every Triton kernel compiles for the GPUs that it is for, and fits into their registers and shared memory.

Spilled registers and shared memory beyond the limit are what makes a kernel slow or impossible to launch.
"""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="there are no wheels of it for this machine")

from tests.gpu_without_gpu.kernel_calls import DTYPES, HEADS

ROOT = Path(__file__).parents[2]
REGISTERS = 1 << 16  # of a multiprocessor; a thread has 255 at most
SHARED_BYTES = {80: 163 << 10, 90: 227 << 10, 100: 227 << 10}  # that a block may have, by compute capability
FAST = [*(f"8x7b/bfloat16/{capability}" for capability in SHARED_BYTES), "8x22b-on-8-ranks/float16/90"]
SLOW = sorted({f"{h}/{d}/{c}" for h in HEADS for d in DTYPES for c in SHARED_BYTES} - {*FAST})


def decorated_kernels() -> Iterator[ast.FunctionDef]:
    """The functions of the sources with a decorator that ends in `jit`."""
    for path in (*ROOT.glob("model/**/*.py"), *ROOT.glob("benchmarks/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and any(map(_is_jit, node.decorator_list)):
                yield node


def _is_jit(decorator: ast.expr) -> bool:
    return ast.unparse(decorator).partition("(")[0].rpartition(".")[2] == "jit"


def launched_by_the_host() -> set[str]:
    """A function that another kernel calls is compiled as a part of that one."""
    kernels = [*decorated_kernels()]
    called = {
        ast.unparse(node.func)
        for kernel in kernels
        for node in ast.walk(kernel)
        if isinstance(node, ast.Call)
    }
    return {kernel.name for kernel in kernels} - called


def multiplying() -> set[str]:
    """The kernels that multiply matrices."""
    return {kernel.name for kernel in decorated_kernels() if "tl.dot(" in ast.unparse(kernel)}


def compile_all(cases: list[str], cache: Path) -> None:
    environment = os.environ | {"TRITON_CACHE_DIR": str(cache)}
    environment.pop("TRITON_INTERPRET", None)
    done = subprocess.run(
        [sys.executable, "-m", "tests.gpu_without_gpu.compile_kernels", *cases],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    kernels = json.loads(done.stdout)
    for case in cases:
        assert {kernel["kernel"] for kernel in kernels if kernel["case"] == case} == launched_by_the_host()
    for kernel in kernels:
        capability = int(kernel["case"].rpartition("/")[2])
        assert kernel["spilled_bytes"] == 0, kernel
        assert kernel["registers"] * kernel["threads"] <= REGISTERS, kernel
        assert kernel["shared_bytes"] <= SHARED_BYTES[capability], kernel
        assert (kernel["matrix_units"] > 0) == (kernel["kernel"] in multiplying()), kernel


def test_kernels_are_found() -> None:
    assert launched_by_the_host() >= {"_attend_row", "_add_norm"}
    assert "_attend_row" in multiplying()


def test_kernels_compile_for_mixtrals_heads(tmp_path: Path) -> None:
    compile_all(FAST, tmp_path)


@pytest.mark.slow
def test_kernels_compile_for_other_heads(tmp_path: Path) -> None:
    compile_all(SLOW, tmp_path)
