"""Converting takes the memory of a layer, however large the checkpoint is."""

import subprocess
import sys
from pathlib import Path

import pytest
from transformers import MistralConfig, MistralForCausalLM

MEASURED = """
import sys, threading, time
from pathlib import Path
from pipeline.checkpoints.convert import convert
def held():
    return sum(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon")) >> 10
before, most = held(), 0
def watch():
    global most
    while True:
        most = max(most, held())
        time.sleep(0.002)
threading.Thread(target=watch, daemon=True).start()
convert(*map(Path, sys.argv[1:]), lambda *_: None)
print(most - before)
"""


@pytest.mark.slow
def test_memory_is_that_of_a_layer(tmp_path: Path) -> None:
    """Of 12 layers with 17 MB each."""
    D, F, layers = 512, 2048, 12
    sizes = {"hidden_size": D, "intermediate_size": F, "num_hidden_layers": layers, "vocab_size": 1000}
    config = MistralConfig(**sizes, num_attention_heads=8, num_key_value_heads=8, sliding_window=None)
    MistralForCausalLM(config).save_pretrained(tmp_path / "from")
    stored = (tmp_path / "from/model.safetensors").stat().st_size >> 20
    child = [sys.executable, "-c", MEASURED, tmp_path / "from", tmp_path / "to"]
    done = subprocess.run(child, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < stored / 2
