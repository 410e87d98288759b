"""A kernel is compiled once, by one of many processes, and where nothing can be compiled that is said."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sources import ROOT

COMPILER = shutil.which(os.environ.get("CXX", "c++"))
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler")
KERNEL = """
#include <torch/csrc/stable/library.h>
int64_t answer() { return 42; }
STABLE_TORCH_LIBRARY_FRAGMENT(mixtray, m) { m.def("answer() -> int"); }
STABLE_TORCH_LIBRARY_IMPL(mixtray, CompositeExplicitAutograd, m) { m.impl("answer", TORCH_BOX(&answer)); }
"""
LOAD = """
import logging, sys
from pathlib import Path
logging.basicConfig(level=logging.INFO)
import torch
from model.kernels.compile import load
if load("answer", Path(sys.argv[1])) and load("answer", Path(sys.argv[1])):
    print(torch.ops.mixtray.answer())
else:
    print("plain")
"""


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "answer.cpp"
    path.write_text(KERNEL)
    return path


@pytest.fixture
def counted(tmp_path):
    """A compiler that writes a line each time it is called."""
    script, calls = tmp_path / "counted", tmp_path / "calls"
    script.write_text(f'#!/bin/sh\necho called >> "{calls}"\nexec "{COMPILER}" "$@"\n')
    script.chmod(0o755)
    calls.touch()
    return script, calls


def started(source: Path, compiler: object) -> subprocess.Popen:
    environment = os.environ | {"XDG_CACHE_HOME": str(source.parent / "cache"), "CXX": str(compiler)}
    return subprocess.Popen(
        [sys.executable, "-c", LOAD, str(source)],
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@needs_compiler
def test_processes_that_start_at_once_compile_once_and_later_ones_need_no_compiler(source, counted):
    script, calls = counted
    processes = [started(source, script) for _ in range(3)]
    assert [process.communicate()[0] for process in processes] == ["42\n"] * 3
    assert started(source, "no-such-compiler").communicate()[0] == "42\n"
    assert calls.read_text() == "called\n"
    source.write_text(KERNEL.replace("42", "43"))
    assert started(source, script).communicate()[0] == "43\n", "another source is another kernel"


def test_without_a_compiler_one_line_says_so(source):
    printed, said = started(source, "no-such-compiler").communicate()
    assert printed == "plain\n"
    assert said == (
        "INFO:model.kernels.compile:no C++ compiler is there: answer runs in torch's own operators\n"
    )


@needs_compiler
def test_what_does_not_compile_is_said_in_one_line_and_leaves_nothing(source):
    source.write_text("#error this processor is unknown\n")
    printed, said = started(source, COMPILER).communicate()
    assert printed == "plain\n"
    assert len(said.splitlines()) == 1
    assert "answer runs in torch's own operators" in said
    assert "this processor is unknown" in said
    kept = [path.suffix for path in (source.parent / "cache").rglob("*") if path.is_file()]
    assert kept == [".lock"]


@needs_compiler
def test_a_folder_that_cannot_be_written_is_said(source):
    (source.parent / "cache").write_text("a file where the folder should be")
    printed, said = started(source, COMPILER).communicate()
    assert printed == "plain\n"
    assert len(said.splitlines()) == 1
