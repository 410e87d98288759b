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
LINES = 200  # of a file of the sources
TEST_LINES = 250
# Files that are still to be split: they may not grow, and no file may join them.
# Imports run one way, jobs -> pipeline -> model; the benchmarks look at all but the command line.
MAY_IMPORT = {
    "model": {"model"},
    "pipeline": {"model", "pipeline"},
    "benchmarks": {"model", "pipeline", "benchmarks"},
    "jobs": {"model", "pipeline", "benchmarks", "jobs"},
    "configs": {"model", "pipeline", "benchmarks", "jobs", "configs"},
}
# Each room (a folder, or a file that lies loose) stands on a floor and imports from lower floors, or itself.
PIPELINE_FLOORS = [
    {"errors"},
    {"task", "storage"},
    {"config", "router"},
    {"reporting", "text"},
    {"tasks", "reading"},
    {"checkpoints", "shards"},
    {"rows", "durable", "cluster"},
    {"preflight", "supervision"},
    {"output", "replicas"},
    {"run"},
]
MODEL_FLOORS = [
    {"config"},
    {"machine", "sampling"},
    {"linear", "requests"},
    {"network", "scheduling"},
    {"routing", "attention", "checkpoint"},
    {"execution"},
    {"engine"},
]
FLOORS = {"pipeline": PIPELINE_FLOORS, "model": MODEL_FLOORS}
MOST_LOOSE = {"pipeline": 5, "model": 6}
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


@pytest.mark.parametrize("path", IN_FLOORS, ids=name_of)
def test_rooms_import_from_lower_floors(path):
    package, room = path.relative_to(ROOT).with_suffix("").parts[:2]
    if room == "__init__":
        assert not list(imported_rooms(path, package))
        return
    [floor] = [number for number, rooms in enumerate(FLOORS[package]) if room in rooms]
    below = set().union(*FLOORS[package][:floor], {room})
    assert set(imported_rooms(path, package)) <= below


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


@pytest.mark.parametrize("path", PYTHON, ids=name_of)
def test_no_file_is_longer_than_a_room(path):
    most = TEST_LINES if name_of(path).startswith("tests/") else LINES
    assert len(path.read_text().splitlines()) <= most


# A source file has a test file of its name, or the tests named here cover it. Benchmarks are run by commands.
TESTED_IN = {
    "model/requests/row_routing.py": "tests/model/routing/test_recorder.py",  # data alone
    "pipeline/config/engine.py": "tests/pipeline/config/test_job.py",
    "pipeline/config/input.py": "tests/pipeline/config/test_job.py",
    "pipeline/config/json_schema.py": "tests/docs/test_job_file.py",
    "pipeline/config/model.py": "tests/pipeline/config/test_job.py",
    "pipeline/config/output.py": "tests/pipeline/config/test_job.py",
    "pipeline/config/reference.py": "tests/docs/test_job_file.py",
    "pipeline/config/section.py": "tests/pipeline/config/test_job.py",
    "pipeline/preflight/job_plan.py": "tests/pipeline/test_extend.py",
    "pipeline/replicas/replica.py": "tests/pipeline/test_in_memory.py",
    "pipeline/shards/shard.py": "tests/pipeline/shards/test_carried_shard.py",  # data alone
    "pipeline/text/template_budget.py": "tests/pipeline/text/test_templates.py",
    "pipeline/text/template_sandbox.py": "tests/pipeline/text/test_templates.py",
    "pipeline/text/tokenizer_files.py": "tests/pipeline/text/test_tokenization.py",
    "jobs/__main__.py": "tests/jobs/test_command_line.py",
    "jobs/arguments.py": "tests/jobs/test_run.py",
    "jobs/plan.py": "tests/jobs/test_run.py",
    "jobs/schema.py": "tests/docs/test_job_file.py",
    "jobs/bench/agreement.py": "tests/benchmarks/test_agreement.py",
    "jobs/bench/commands.py": "tests/benchmarks/test_left_out.py",
    "jobs/bench/engine.py": "tests/benchmarks/test_left_out.py",
    "jobs/bench/job.py": "tests/benchmarks/test_job_bench.py",
    "jobs/bench/options.py": "tests/benchmarks/test_left_out.py",
}
MIRRORED = [
    path
    for path in FILES
    if name_of(path).startswith(("model/", "pipeline/", "jobs/")) and path.stem != "__init__"
]


@pytest.mark.parametrize("path", MIRRORED, ids=name_of)
def test_a_source_file_has_a_test_file_of_its_name(path):
    own = ROOT / "tests" / path.relative_to(ROOT).with_name(f"test_{path.stem}.py")
    elsewhere = TESTED_IN.get(name_of(path))
    assert own.exists() != (elsewhere is not None), "one of the two: a test file of its name, or a line above"
    assert own.exists() or (ROOT / str(elsewhere)).exists()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text())), "a docstring at the top says it"


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


TASKS = ast.literal_eval(
    next(
        node.value
        for node in ast.parse((ROOT / "pipeline" / "task.py").read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "BUILT_IN"
    )
)


def compares_a_task_s_name(node):
    """Such as `config.task == "label"`, `name in ("label", "generate")`, or a match over `job.task`."""
    sides = []
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
    elif isinstance(node, ast.Match):
        sides = [node.subject, *node.cases]
    values = [value for side in sides for value in (side, *getattr(side, "elts", ()))]
    return any(
        (isinstance(value, ast.Constant) and value.value in TASKS)
        or (isinstance(value, ast.Attribute) and value.attr == "task")
        for value in values
    )


OUTSIDE_TASKS = [
    path for path in FILES if name_of(path).startswith(("pipeline/", "jobs/")) and path.parent.name != "tasks"
]


@pytest.mark.parametrize("path", OUTSIDE_TASKS, ids=name_of)
def test_nothing_but_the_task_knows_which_task_it_is(path):
    assert not [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(ast.parse(path.read_text()))
        if compares_a_task_s_name(node)
    ]


def test_the_rule_about_tasks_sees_such_a_comparison():
    for code in ('config.task == "x"', 'name != "label"', 'kind in {"generate", "y"}', "job.task is not z"):
        assert any(map(compares_a_task_s_name, ast.walk(ast.parse(code)))), code
    assert not any(map(compares_a_task_s_name, ast.walk(ast.parse('phase == "decode"'))))


def test_no_file_is_called_utils():
    assert not [
        name_of(path) for path in FILES if path.stem in ("utils", "util", "helpers", "common", "misc")
    ]
