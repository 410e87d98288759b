"""vLLM on rows: `python in_vllm.py ASKED ANSWER`, two files of JSON, under an interpreter that has vLLM.

That interpreter has packages of its own, so nothing of this repository is imported. `benchmarks.vllm_peer`
asks, and says what the keys mean.
"""

import json
import sys
import time
import traceback
from importlib.metadata import version
from pathlib import Path
from typing import Any


def main(asked: Path, answer: Path) -> None:
    try:
        found = run(json.loads(asked.read_text()))
    except Exception as error:
        traceback.print_exc()
        found = {"failed": f"{type(error).__name__}: {error}"}
    answer.write_text(json.dumps(found))


def run(asked: dict[str, Any]) -> dict[str, Any]:
    import vllm

    started = time.perf_counter()
    llm = vllm.LLM(**asked["options"])
    loaded = time.perf_counter()
    cpu = cpu_seconds()
    params = [vllm.SamplingParams(**each) for each in asked["params"]]
    prompts = [{"prompt_token_ids": token_ids} for token_ids in asked["prompts"]]
    begun = time.perf_counter()
    outputs = llm.generate(prompts, params, use_tqdm=False)
    seconds = time.perf_counter() - begun
    return {
        "load_seconds": loaded - started,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds() - cpu,
        "peak_bytes": sum(peak_memory(process.pid) for process in processes()),
        "token_ids": [list(output.outputs[0].token_ids) for output in outputs],
        "logprobs": [
            last_logprobs(output, count) for output, count in zip(outputs, asked["scored"], strict=True)
        ],
        "version": f"vLLM {vllm.__version__}, torch {version('torch')}",
    }


def last_logprobs(output: Any, count: int) -> list[float]:
    """Of the last `count` tokens of the prompt."""
    if not count:
        return []
    pairs = zip(output.prompt_token_ids[-count:], output.prompt_logprobs[-count:], strict=True)
    return [found[token].logprob for token, found in pairs]


def processes() -> list[Any]:
    """This one and those that it has started: vLLM computes in others."""
    import psutil

    own = psutil.Process()
    return [own, *own.children(recursive=True)]


def cpu_seconds() -> float:
    times = [process.cpu_times() for process in processes()]
    return float(sum(each.user + each.system for each in times))


def peak_memory(process: int) -> int:
    """The most that the process has held, in bytes."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])


if __name__ == "__main__":  # vLLM's processes import this file
    main(Path(sys.argv[1]), Path(sys.argv[2]))
