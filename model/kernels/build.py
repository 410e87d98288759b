"""C++ for a CPU, compiled where it runs, when it is first used, and kept in the user's cache folder.

A compiled library is kept by what it was made from: its sources, torch's version, the compiler and the
processor's vectors. Without a compiler there is none; what it would compute is computed in torch then.
"""

import fcntl
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch

from model.machine.own_folder import cache_folder

_TORCH = Path(torch.__file__).parent
_MOST_SECONDS = 300.0
_VECTORS = {
    "AVX2": ["-mavx2", "-mfma", "-mf16c"],
    "AVX512": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma", "-mf16c"],
}
# Flags, and an instruction that compiler and assembler know if they know what the flags ask for
_BFLOAT16 = ("-mavx512bf16",), "vdpbf16ps %zmm0, %zmm0, %zmm0"
_TILES = ("-mamx-tile", "-mamx-bf16", "-mamx-int8"), "tilezero %tmm0"

logger = logging.getLogger(__name__)


@cache
def load(main: Path) -> bool:
    """Load the operators of a C++ file, which may include others of its folder; False if none can be had."""
    try:
        torch.ops.load_library(compiled(main))
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        logger.info("%s is not compiled, torch computes instead: %s", main.parent.name, said[:1])
        return False
    return True


def compiled(main: Path) -> Path:
    """The library, compiled if need be. OSError or SubprocessError if it can't be.

    Of processes that start at once one compiles, and the others wait for it.
    """
    compiler = find_compiler()
    command = [compiler, *_flags(compiler)]
    library = cache_folder() / "mixtray" / f"{main.parent.name}-{_key(main, command)}.so"
    if library.exists():
        return library
    library.parent.mkdir(parents=True, exist_ok=True)
    with open(library.with_suffix(".lock"), "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not library.exists():
            with tempfile.TemporaryDirectory(dir=library.parent) as folder:
                made = Path(folder) / "made.o", Path(folder) / "made.so"
                _run([*command, "-I", str(main.parent), "-c", str(main), "-o", str(made[0])])
                # Without -fopenmp, which would bring a second OpenMP: torch has one, with its threads.
                libraries = [f"-L{_TORCH / 'lib'}", "-ltorch_cpu", "-lc10"]
                _run([compiler, "-shared", str(made[0]), *libraries, "-o", str(made[1])])
                os.replace(made[1], library)
    return library


def find_compiler() -> str:
    found = shutil.which(os.environ.get("CXX") or "c++") or shutil.which("g++")
    if not found:
        raise FileNotFoundError("there is no C++ compiler")
    return found


def _flags(compiler: str) -> list[str]:
    capability = torch.backends.cpu.get_cpu_capability()
    vectors = _VECTORS.get(capability, [])
    named = capability if vectors else "DEFAULT"
    if capability == "AVX512":
        units = {_BFLOAT16: torch.cpu._is_avx512_bf16_supported(), _TILES: torch.cpu._is_amx_tile_supported()}
        for (flags, instruction), processor_has_it in units.items():
            if processor_has_it and _knows(compiler, flags, instruction):
                vectors = [*vectors, *flags]
    return [
        *("-O3", "-std=c++20", "-fPIC", "-fopenmp", "-fno-math-errno", "-fno-trapping-math", "-w"),
        *vectors,
        f"-DCPU_CAPABILITY={named}",
        f"-DCPU_CAPABILITY_{named}",
        *("-isystem", str(_TORCH / "include")),
    ]


@cache
def _knows(compiler: str, flags: tuple[str, ...], instruction: str) -> bool:
    """Whether compiler and assembler know them: those of 2020 know no AMX."""
    asked = [compiler, *flags, "-c", "-x", "c++", "-", "-o", os.devnull]
    program = f'void f() {{ asm("{instruction}"); }}'
    return not subprocess.run(
        asked, input=program.encode(), capture_output=True, timeout=_MOST_SECONDS
    ).returncode


def _key(main: Path, command: list[str]) -> str:
    """Of contents, not of places: a job's code may lie in another folder each time."""
    digest = hashlib.sha256(repr((torch.__version__, platform.machine(), command)).encode())
    for path in sorted(main.parent.iterdir()):
        if path.suffix in (".cpp", ".h"):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _run(command: list[str]) -> None:
    subprocess.run(
        command, check=True, capture_output=True, encoding="utf-8", errors="replace", timeout=_MOST_SECONDS
    )
