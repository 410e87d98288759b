"""Compiles kernels in C++ on first use, for the processor that is there, and keeps them for later processes.

A kernel is one file, with the headers beside it, that registers an operator with torch's stable library;
loading it makes the operator callable as torch.ops.mixtray.NAME. Where nothing can be compiled, its plain
twin in Python runs.
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

logger = logging.getLogger(__name__)

_LONGEST = 300  # seconds
_TORCH = Path(torch.__file__).parent
_VECTORS = {
    "AVX2": ("-mavx2", "-mfma", "-mf16c"),
    "AVX512": ("-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw", "-mavx2", "-mfma", "-mf16c"),
}


@cache
def load(name: str, source: Path) -> bool:
    """Whether the kernel's operator is there now."""
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    try:
        library = _folder() / f"{name}-{_digest(source)}.so"
        if not library.exists():
            if compiler is None:
                logger.info("no C++ compiler is there: %s runs in torch's own operators", name)
                return False
            _compile(compiler, source, library)
        torch.ops.load_library(str(library))
    except (OSError, subprocess.SubprocessError) as error:
        logger.warning("%s runs in torch's own operators: it can't be compiled here: %s", name, _why(error))
        return False
    return True


def _why(error: Exception) -> str:
    lines = (getattr(error, "stderr", None) or str(error)).splitlines()
    return next((line for line in lines if "error" in line), " ".join(lines))


def _folder() -> Path:
    cached = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cached / "mixtray" / "kernels"


def _digest(source: Path) -> str:
    """Of all that decides what is compiled, but the compiler."""
    parts = [torch.__version__, str(torch.version.git_version), platform.machine(), *_flags()]
    files = [source, *sorted(source.parent.glob("*.h"))]
    contents = (path.read_bytes() for path in files)
    return hashlib.sha256(b"\0".join(["\0".join(parts).encode(), *contents])).hexdigest()[:16]


def _flags() -> list[str]:
    capability = torch.backends.cpu.get_cpu_capability()
    vectors: list[str] = []
    if capability in _VECTORS:
        macros = (f"-DCPU_CAPABILITY={capability}", f"-DCPU_CAPABILITY_{capability}")
        vectors = [*_VECTORS[capability], *macros]
    return ["-std=c++20", "-O3", "-DNDEBUG", "-fPIC", "-shared", "-fvisibility=hidden", *vectors]


def _compile(compiler: str, source: Path, library: Path) -> None:
    """Once, if many processes ask for it at the same time: the others wait."""
    library.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with library.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if library.exists():
            return
        with tempfile.TemporaryDirectory(dir=library.parent) as folder:
            built = Path(folder) / library.name
            headers = (f"-I{_TORCH / 'include'}", f"-I{_TORCH / 'include/torch/csrc/api/include'}")
            libraries = (f"-L{_TORCH / 'lib'}", "-ltorch_cpu", "-lc10")
            command = [compiler, *_flags(), *headers, str(source), "-o", str(built), *libraries]
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=_LONGEST)
            built.rename(library)
