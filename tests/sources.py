"""The files that the rules of the house are about, and the floors on which their rooms stand."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
ROOMS = ("model", "pipeline", "benchmarks", "jobs", "configs")
PYTHON = sorted(
    path
    for room in (*ROOMS, "tests")
    for path in (ROOT / room).rglob("*.py")
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)
FILES = [path for path in PYTHON if path.relative_to(ROOT).parts[0] in ROOMS]


def name_of(path):
    return str(path.relative_to(ROOT))


# Each room (a folder, or a file that lies loose) stands on a floor and imports from lower floors, or itself.
PIPELINE_FLOORS = [
    {"errors", "row_requests"},
    {"task", "storage"},
    {"registered_tasks"},
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
    {"config_files", "trained_head", "sliding_window"},
    {"rope"},
    {"config"},
    {"machine"},
    {"kernels", "sampling"},
    {"linear", "requests"},
    {"network", "scheduling"},
    {"routing", "attention", "checkpoint"},
    {"execution"},
    {"engine"},
]
FLOORS = {"pipeline": PIPELINE_FLOORS, "model": MODEL_FLOORS}
