"""The files that the rules of the house are about."""

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
