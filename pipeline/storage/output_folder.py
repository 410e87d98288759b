"""How an output folder is known, and what lies in it that could be taken for input."""

from collections.abc import Callable, Iterable

SPEC = "_job/spec.json"  # what the job is; where it lies, a job began
PARTS = "generations"
ROUTER = "router"
HIDDEN_STATES = "hidden_states"
ROUTER_TABLES = {name: f"{ROUTER}/{name}.parquet" for name in ("experts", "pairs", "layers")}
REPORT = "report.json"
REPORT_PAGE = "report.html"
# Paths like those of the files that a job writes and that do not hide behind . or _.
EXAMPLES = (
    f"{PARTS}/part-000000-0123456789abcdef.parquet",
    *ROUTER_TABLES.values(),
    f"{HIDDEN_STATES}/part-000000-0123456789abcdef-0000.parquet",
    REPORT,
    REPORT_PAGE,
)


def output_folders(paths: Iterable[str], base: str, exists: Callable[[str], bool]) -> set[str]:
    """The output folders of jobs in which some of `paths` lie, at `base` or below it.

    Only folders that hold something called like a job's own are looked at by `exists`, since there may be
    many folders, and each look is a request.
    """
    candidates: set[str] = set()
    for path in paths:
        inner = path.removeprefix(f"{base}/").split("/")
        for depth, name in enumerate(inner):
            if name in (PARTS, ROUTER, HIDDEN_STATES) or (name == REPORT and depth == len(inner) - 1):
                candidates.add("/".join([base, *inner[:depth]]))
    return {folder for folder in candidates if exists(f"{folder}/{SPEC}")}


def within(path: str, folder: str) -> bool:
    """Whether `path` is the folder itself or lies below it."""
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")
