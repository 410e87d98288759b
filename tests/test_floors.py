"""Who imports whom: between the packages, between the rooms of one, and never in a circle."""

import ast
import subprocess
import sys

import pytest

from tests.sources import FILES, FLOORS, ROOMS, ROOT, name_of

# Imports run one way, jobs -> pipeline -> model; the benchmarks look at all but the command line.
MAY_IMPORT = {
    "model": {"model"},
    "pipeline": {"model", "pipeline"},
    "benchmarks": {"model", "pipeline", "benchmarks"},
    "jobs": {"model", "pipeline", "benchmarks", "jobs"},
    "configs": {"model", "pipeline", "benchmarks", "jobs", "configs"},
}
MOST_LOOSE = {"pipeline": 5, "model": 6}
MODEL_NEEDS = {"torch", "numpy", "safetensors"}
ON_GPUS = {"triton", "flash_attn"}  # the one comes with torch, the other if it is installed


def imported(tree):
    """The top-level package of every import of a file, those within functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports say where from: no relative ones"
            yield str(node.module).partition(".")[0]


def test_imports_run_one_way():
    for path in FILES:
        room = name_of(path).partition("/")[0]
        packages = set(imported(ast.parse(path.read_text())))
        assert packages & set(ROOMS) <= MAY_IMPORT[room], name_of(path)
        if room == "model":
            assert packages <= sys.stdlib_module_names | MODEL_NEEDS | ON_GPUS | {"model"}, name_of(path)


def room_of(module):
    return module.split(".")[1] if "." in module else None


def imported_rooms(path, package):
    """The rooms of the same package that a file imports from."""
    for node in ast.walk(ast.parse(path.read_text())):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            modules = [f"{node.module}.{node.names[0].name}" if node.module == package else str(node.module)]
        yield from (room_of(module) for module in modules if module.startswith(f"{package}."))


IN_FLOORS = [path for path in FILES if name_of(path).partition("/")[0] in FLOORS]


def test_rooms_import_from_lower_floors():
    for path in IN_FLOORS:
        package, room = path.relative_to(ROOT).with_suffix("").parts[:2]
        floors = [number for number, rooms in enumerate(FLOORS[package]) if room in rooms]
        assert len(floors) == 1 or room == "__init__", f"{name_of(path)}: on no floor, or on two"
        below = set().union(*FLOORS[package][: floors[0]], {room}) if floors else set()
        assert set(imported_rooms(path, package)) <= below, name_of(path)


@pytest.mark.parametrize("package", FLOORS)
def test_every_room_has_a_floor_and_few_files_lie_loose(package):
    folder = ROOT / package
    folders = {init.parent.name for init in folder.glob("*/__init__.py")}
    loose = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert set().union(*FLOORS[package]) == folders | loose
    assert len(loose) <= MOST_LOOSE[package]


def test_no_file_imports_itself_in_a_circle():
    """Within a room too: walk the imports between files of the sources, depth first."""
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in FILES}
    imports = {module: set(imported_modules(path)) & modules.keys() for module, path in modules.items()}
    done = set()

    def walk(module, way):
        assert module not in way, f"a circle: {' -> '.join([*way, module])}"
        if module not in done:
            for other in sorted(imports[module] - {module}):
                walk(other, [*way, module])
            done.add(module)

    for module in sorted(modules):
        walk(module, [])


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize(
    ("modules", "without"),
    [
        (["pipeline.shards.shard_source", "pipeline.rows.prepare", "pipeline.output.publish"], ["torch"]),
        (["model.requests.request", "model.requests.choice_scores", "model.requests.next_token"], ["torch"]),
        (["jobs.__main__"], ["torch", "ray", "pandas"]),  # the help of commands
    ],
)
def test_what_must_start_fast_starts_without(modules, without):
    program = f"import sys, {', '.join(modules)}; print([m for m in {without} if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert printed.stdout == "[]\n", printed.stderr
