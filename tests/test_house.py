"""The house rules that a test can hold: who imports whom, how long a file is, that it says what it is for."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("model", "pipeline", "benchmarks", "jobs", "configs")
PYTHON = sorted(
    path
    for room in (*ROOMS, "tests")
    for path in (ROOT / room).rglob("*.py")
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)
FILES = [path for path in PYTHON if path.relative_to(ROOT).parts[0] in ROOMS]
LINES = 250
# Imports run one way, jobs -> pipeline -> model; the benchmarks look at all but the command line.
MAY_IMPORT = {
    "model": {"model"},
    "pipeline": {"model", "pipeline"},
    "benchmarks": {"model", "pipeline", "benchmarks"},
    "jobs": {"model", "pipeline", "benchmarks", "jobs"},
    "configs": {"model", "pipeline", "benchmarks", "jobs", "configs"},
}
# Within pipeline/ the rooms import one way too; its other files see them all.
PIPELINE_ROOMS = {
    "storage": {"storage"},
    "text": {"text"},
    "reading": {"storage", "text", "reading"},
    "reporting": {"reporting"},
    "durable": {"storage", "reading", "reporting", "durable"},
}
MODEL_NEEDS = {"torch", "numpy", "safetensors"}
ON_GPUS = {"triton", "flash_attn"}  # the one comes with torch, the other if it is installed


def name_of(path):
    return str(path.relative_to(ROOT))


def imported(tree):
    """The top-level package of every import of a file, those within functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports say where from: no relative ones"
            yield str(node.module).partition(".")[0]


def test_there_are_files():
    assert {name_of(path).partition("/")[0] for path in FILES} >= {"model", "pipeline", "jobs"}
    assert len(FILES) > 30


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_run_one_way(path):
    room = name_of(path).partition("/")[0]
    packages = set(imported(ast.parse(path.read_text())))
    assert packages & set(ROOMS) <= MAY_IMPORT[room]
    if room == "model":
        assert packages <= sys.stdlib_module_names | MODEL_NEEDS | ON_GPUS | {"model"}


@pytest.mark.parametrize("room", PIPELINE_ROOMS)
def test_rooms_of_the_pipeline_import_one_way(room):
    shared = {"config", "errors"}
    for path in (ROOT / "pipeline" / room).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("pipeline."):
                assert str(node.module).split(".")[1] in PIPELINE_ROOMS[room] | shared, name_of(path)


@pytest.mark.parametrize("path", PYTHON, ids=name_of)
def test_no_file_is_longer_than_a_room(path):
    assert len(path.read_text().splitlines()) <= LINES


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text())), "a docstring at the top says it"


@pytest.mark.parametrize(
    ("modules", "without"),
    [
        (["pipeline.reading.datasource", "pipeline.preparation", "pipeline.durable.publishing"], ["torch"]),
        (["jobs.__main__"], ["torch", "ray", "pandas"]),  # the help of commands
    ],
)
def test_what_must_start_fast_starts_without(modules, without):
    program = f"import sys, {', '.join(modules)}; print([m for m in {without} if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert printed.stdout == "[]\n", printed.stderr


def test_no_file_is_called_utils():
    assert not [
        name_of(path) for path in FILES if path.stem in ("utils", "util", "helpers", "common", "misc")
    ]
