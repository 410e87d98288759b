"""The decode loop takes no memory from the system: what a step needs, those before it have left."""

import ctypes
import json
import os
import platform
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from math import inf
from pathlib import Path

import pytest

from model.engine import Engine
from model.execution import executor
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams

ROWS, STEPS, WARM_UP = 64, 90, 30
LOGITS_PAGES = ROWS * 32_000 * 4 // os.sysconf("SC_PAGE_SIZE")
PR_SET_THP_DISABLE = 41  # linux/prctl.h


def faults_a_step(folder: Path) -> float:
    """Pages of memory that the system gives in a step, on average, once a run is under way."""
    engine = Engine.load(folder, threads=1, kv_cache_tokens=ROWS * 128, random_weights=True)
    params = SamplingParams(max_new_tokens=STEPS + 5, ignore_eos=True)
    for row in range(ROWS):
        engine.submit(Request(str(row), [1, 3 + row], params))
    for _ in range(WARM_UP):
        engine.step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(STEPS - WARM_UP):
        engine.step()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / (STEPS - WARM_UP)


@pytest.fixture
def folder(checkpoint, tmp_path: Path) -> Path:
    """Of the usual tiny shape, but with so many words that a step's logits take 8 MB."""
    config = json.loads((checkpoint("mixtral") / "config.json").read_text())
    changes = {"vocab_size": 32_000, "max_position_embeddings": 128}
    (tmp_path / "config.json").write_text(json.dumps(config | changes))
    return tmp_path


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator keeps what it likes")
@pytest.mark.parametrize(("freed", "least", "most"), [("kept", 0, 100), ("given back", LOGITS_PAGES, inf)])
def test_a_decode_step_takes_no_memory_from_the_system(folder, freed, least, most):
    command = [sys.executable, "-m", "tests.model.engine.test_decode_takes_no_memory", str(folder), freed]
    given_back = {"MALLOC_MMAP_THRESHOLD_": "65536", "THP_MEM_ALLOC_ENABLE": "0", "CUDA_VISIBLE_DEVICES": ""}
    shown = subprocess.run(command, env=os.environ | given_back, capture_output=True, text=True, check=True)
    assert least <= float(shown.stdout) < most


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)
    if sys.argv[2] == "given back":
        executor.keep_freed_memory = lambda: None
    with ThreadPoolExecutor(1) as engine_thread:  # as in a replica
        print(engine_thread.submit(faults_a_step, Path(sys.argv[1])).result())
