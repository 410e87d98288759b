"""Compiling, keeping what was compiled, and going without a compiler."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from model.kernels import build

SOURCE = """
#include <cstdint>
#include "answer.h"
extern "C" int64_t answer() { return ANSWER; }
"""
THREE_AT_ONCE = """
import sys
from multiprocessing import get_context
from pathlib import Path
from model.kernels.build import compiled
def say(): print(compiled(Path(sys.argv[1])), flush=True)
processes = [get_context("fork").Process(target=say) for _ in range(3)]
for process in processes: process.start()
for process in processes: process.join()
assert [process.exitcode for process in processes] == [0, 0, 0]
"""


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "answers"
    folder.mkdir()
    (folder / "answer.h").write_text("#define ANSWER 42")
    (folder / "main.cpp").write_text(SOURCE)
    return folder / "main.cpp"


needs_compiler = pytest.mark.skipif(
    build.shutil.which("c++") is None and build.shutil.which("g++") is None, reason="there is no C++ compiler"
)


@needs_compiler
def test_it_is_compiled_once_and_anew_for_other_sources(source, monkeypatch):
    first = build.compiled(source)
    written = first.stat().st_mtime_ns
    assert build.compiled(source) == first
    assert first.stat().st_mtime_ns == written
    copied = source.parent.parent / "copied" / source.parent.name
    build.shutil.copytree(source.parent, copied)
    assert build.compiled(copied / source.name) == first, "the same sources in another folder"
    (source.parent / "answer.h").write_text("#define ANSWER 43")
    second = build.compiled(source)
    assert second != first
    monkeypatch.setattr("torch.__version__", "other")
    assert build.compiled(source) not in (first, second)


@needs_compiler
def test_processes_that_start_at_once_compile_once(source, tmp_path):
    """They are forked from one that has imported torch, so that they come to the lock together."""
    done = subprocess.run(
        [sys.executable, "-c", THREE_AT_ONCE, source], capture_output=True, text=True, check=True
    )
    assert len(done.stdout.splitlines()) == 3
    assert len({*done.stdout.splitlines()}) == 1
    left = {path.suffix for path in (tmp_path / "cache" / "mixtray").iterdir()}
    assert left == {".so", ".lock"}


@needs_compiler
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the flags are those of x86")
def test_what_a_compiler_does_not_know_it_is_not_asked_for(source, monkeypatch):
    unknown = ("-mtiles-of-tomorrow",), "nop"
    unknown_to_the_assembler = ("-mfma",), "add_tiles_of_tomorrow %tmm0"
    monkeypatch.setattr(build, "_BFLOAT16", unknown)
    monkeypatch.setattr(build, "_TILES", unknown_to_the_assembler)
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: True)
    assert build.compiled(source).exists()
    assert not build._knows(build.find_compiler(), *unknown_to_the_assembler)
    assert build._knows(build.find_compiler(), ("-mfma",), "nop")


@pytest.mark.parametrize("hidden", ["compiler", "folder", "source"])
def test_without_one_nothing_is_loaded_and_nothing_fails(hidden, source, tmp_path, monkeypatch):
    if hidden == "compiler":
        monkeypatch.setenv("PATH", str(tmp_path))
    elif hidden == "folder":
        (tmp_path / "cache").write_text("a file, so no folder can be made there")
        monkeypatch.setattr(build, "cache_folder", lambda: tmp_path / "cache")
    else:
        source.write_text("this is no C++")
    assert build.load(source) is False


def test_the_sources_are_where_the_wheel_takes_them_from():
    assert (Path(build.__file__).parent / "cpu" / "operators.cpp").exists()
