"""What the contenders of a workload took, as numbers ready for JSON, and whether they say the same."""

from statistics import median
from typing import Any

from benchmarks.contender import INT8, OURS, Result
from benchmarks.floors import Floor, Speed
from benchmarks.workload import Workload


def summary(
    workload: Workload, results: dict[str, list[Result]], floor: Floor, speed: Speed
) -> dict[str, Any]:
    output = sum(workload.new_tokens) or len(workload.prompts)
    total = sum(map(len, workload.prompts)) + workload.question_tokens + sum(workload.new_tokens)
    ours = results.get(OURS)
    contenders = {}
    for name, runs in results.items():
        seconds = median(run.seconds for run in runs)
        contenders[name] = {
            "seconds": seconds,
            "all_seconds": [run.seconds for run in runs],
            "cpu_seconds": median(run.cpu_seconds for run in runs),
            "output_a_second": output / seconds,
            "total_a_second": total / seconds,
            "load_seconds": median(run.load_seconds for run in runs),
            "peak_bytes": max(run.peak_bytes for run in runs),
            "of_floor": None if name == INT8 else floor.seconds(speed) / seconds,
            "of_flops": floor.operations / speed.flops / seconds,
            "of_bandwidth": floor.bytes / speed.bytes_a_second / seconds,
            # Runs of a round are neighbours in time, so their ratio suffers least from what else is running.
            "times_slower_than_ours": ours
            and median(run.seconds / own.seconds for run, own in zip(runs, ours, strict=False)),
            "times_more_cpu_than_ours": ours
            and median(run.cpu_seconds / own.cpu_seconds for run, own in zip(runs, ours, strict=False)),
            "rows_equal_to_ours": ours and _equal(runs[-1], ours[-1]),
            "breakdown": runs[-1].breakdown,
            "steps": runs[-1].steps,
            "note": runs[-1].note,
        }
    return {
        "rows": len(workload.prompts),
        "prompt_tokens": sum(map(len, workload.prompts)) + workload.question_tokens,
        "new_tokens": sum(workload.new_tokens),
        "unit": "rows" if workload.is_scored else "tokens",
        "floor_seconds": floor.seconds(speed),
        "contenders": contenders,
    }


def _equal(one: Result, other: Result) -> int | None:
    """Rows with the same tokens, or with scores within 1e-4; None where they can't be compared."""
    if one.token_ids is not None and other.token_ids is not None:
        return sum(a == b for a, b in zip(one.token_ids, other.token_ids, strict=True))
    if one.choice_logprobs is not None and other.choice_logprobs is not None:
        pairs = zip(one.choice_logprobs, other.choice_logprobs, strict=True)
        return sum(max(abs(a - b) for a, b in zip(x, y, strict=True)) < 1e-4 for x, y in pairs)
    return None
