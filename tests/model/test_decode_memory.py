"""The decode loop takes no memory from the system: what a step needs, those before it have left."""

import json
import os
import resource
import subprocess
import sys
from math import inf
from pathlib import Path

import pytest

from model import executor
from model.engine import Engine
from model.request import Request
from model.sampling_params import SamplingParams

ROWS, STEPS, WARM_UP = 64, 90, 30
LOGITS_PAGES = ROWS * 32_000 * 4 // os.sysconf("SC_PAGE_SIZE")


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


@pytest.mark.parametrize(("freed", "least", "most"), [("kept", 0, 100), ("given back", LOGITS_PAGES, inf)])
def test_a_decode_step_takes_no_memory_from_the_system(folder, freed, least, most):
    command = [sys.executable, "-m", "tests.model.test_decode_memory", str(folder), freed]
    small_pages = os.environ | {"THP_MEM_ALLOC_ENABLE": "0", "MALLOC_MMAP_THRESHOLD_": "65536"}
    shown = subprocess.run(command, env=small_pages, capture_output=True, text=True, check=True)
    assert least <= float(shown.stdout) < most


if __name__ == "__main__":
    if sys.argv[2] == "given back":
        executor.keep_freed_memory = lambda: None
    print(faults_a_step(Path(sys.argv[1])))
