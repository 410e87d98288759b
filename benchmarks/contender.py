"""Who takes part, what each is asked, and what it took: one contender, one workload, one fresh process."""

from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.own_process import call

OURS = "mixtray"
INT8 = f"{OURS} int8"
NO_STATISTICS = f"{OURS} without statistics"
IN_TURN = f"{OURS} in turn"
GENERATING = [OURS, INT8, "hf static 16", "hf static 32", "hf static 64", "hf continuous"]
LLAMA = ["llama.cpp 16", "llama.cpp 32", "llama.cpp 64"]
VLLM = "vllm"
LABELLING = [OURS, INT8, "hf scores 16", "hf scores 64", "hf generates 16", "hf generates 64"]

ASKING = [OURS, IN_TURN, "hf scores 16", "hf scores 64", "hf generates 16", "hf generates 64"]


@dataclass(frozen=True)
class Task:
    contender: str
    folder: str
    workload: str
    rows: int | None
    threads: int
    dtype: str = "auto"  # see model.machine.device.auto_dtype
    llama_server: str | None = None  # the path of its program
    gguf: str | None = None  # the same weights as `folder` has
    vllm: str | None = None  # the path of an interpreter that has it


@dataclass(frozen=True)
class Result:
    contender: str
    seconds: float
    cpu_seconds: float
    load_seconds: float
    peak_bytes: int
    token_ids: list[list[int]] | None
    choice_logprobs: list[list[float]] | None
    breakdown: dict[str, Any] | None
    steps: dict[str, Any] | None = None  # see benchmarks.late_arrival
    note: str | None = None  # what a reader of the figures must know


def measure(task: Task) -> Result:
    """RuntimeError, with the last words of the process, if it fails."""
    return Result(**call("benchmarks.run_contender", asdict(task), task.threads))
