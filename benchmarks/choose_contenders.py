"""Which contenders take part in a workload, and which are left out because a package is not installed."""

from importlib.util import find_spec

import torch

from benchmarks.contender import ASKING, GENERATING, INT8, LABELLING, LLAMA, OURS, VLLM

# By the first word of a contender's name; all are in the extra `bench`.
_PACKAGES = {"hf": ("transformers",), "llama.cpp": ("gguf", "psutil")}
_WHAT_TO_DO = "pip install -e '.[bench]'"


def choose_contenders(
    workload: str, only: list[str], device: torch.device, *, llama: bool, vllm: bool
) -> tuple[list[str], dict[str, str]]:
    """The names of those that take part, and why others don't.

    `llama` and `vllm` say whether these peers can run.

    ValueError if nobody's name has one of `only` in it, where there are some, or if nobody is left.
    """
    if workload == "long":  # peers have no steps that could be looked at
        names = [OURS, INT8]
    else:
        scoring = {"label": LABELLING, "questions": ASKING}
        names = scoring.get(workload, GENERATING + (LLAMA if llama else []))
        names = names + ([VLLM] if vllm and workload != "questions" else [])
    if device.type != "cpu":
        names = [name for name in names if name not in (INT8, *LLAMA, VLLM)]
    names = [name for name in names if not only or any(part in name for part in only)]
    if not names:
        raise ValueError(f"no contender of {workload} here has {' or '.join(map(repr, only))} in its name")
    left_out = {name: reason for name in names if (reason := _lacks(name))}
    if len(left_out) == len(names):
        raise ValueError(f"no contender of {workload} is left: {'; '.join(told(left_out))}")
    return [name for name in names if name not in left_out], left_out


def told(left_out: dict[str, str]) -> list[str]:
    """A sentence for each reason, with the names of those that it holds for."""
    names: dict[str, list[str]] = {}
    for name, reason in left_out.items():
        names.setdefault(reason, []).append(name)
    return [f"{', '.join(of_reason)} left out: {reason}" for reason, of_reason in names.items()]


def _lacks(contender: str) -> str | None:
    missing = [p for p in _PACKAGES.get(contender.split()[0], ()) if find_spec(p) is None]
    if not missing:
        return None
    return f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed ({_WHAT_TO_DO})"
