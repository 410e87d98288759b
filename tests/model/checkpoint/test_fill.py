"""Parameters filled by several threads: the same numbers, errors that surface, bounded memory, progress."""

import json
import logging
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from model.checkpoint import fill as filling
from model.checkpoint.hf_names import match_weights
from model.checkpoint.load import load_transformer, opened, save_weights, uninitialised
from model.checkpoint.weight_map import weight_sources
from model.config import ModelConfig
from model.network.tensor_parallel import TensorParallel


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rank", [0, 1])
def test_small_pieces_fill_each_ranks_slices(folder, monkeypatch, dtype, rank):
    monkeypatch.setattr(filling, "CHUNK", 200)
    model = load_transformer(folder, dtype, tp=TensorParallel(rank, 2))
    stored = load_file(folder / "model.safetensors")
    for source in weight_sources(model):
        expected = stored[source.name][source.slices].to(dtype)
        assert torch.equal(source.target, expected.reshape(source.target.shape)), source.name


def test_an_error_in_a_thread_is_the_loads_own(folder, monkeypatch):
    with opened(folder) as (config, files):
        model = uninitialised(config, torch.float32, "cpu")
        found = list(match_weights(model, files))
        file = folder / "model.safetensors"
        file.write_bytes(file.read_bytes()[:-5000])
        with pytest.raises(OSError, match="before the tensors that its header names"):
            filling.fill(found, filling.Progress(0))


def test_a_long_load_is_told_of(folder, monkeypatch, caplog):
    monkeypatch.setattr(filling, "_TELL_EVERY_S", 0.0)
    with caplog.at_level(logging.INFO, "model.checkpoint.fill"):
        load_transformer(folder, torch.float32)
    assert caplog.messages[-1].startswith("weights: 100% of 0.0 GB, ")


PEAK = """
import sys, torch
from model.checkpoint import fill
from model.checkpoint.load import load_transformer
from model.config import ModelConfig
from model.network.tensor_parallel import TensorParallel
def peak():
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmHWM"))
load_transformer(sys.argv[2], torch.float32)  # a small one, for what loading takes once
fill.CHUNK = 1 << 20
before = peak()
model = load_transformer(sys.argv[1], torch.bfloat16, tp=TensorParallel(1, 2))
print(peak() - before, sum(parameter.nbytes for parameter in model.parameters()))
"""


def test_memory_is_the_slice_and_a_bounded_buffer(folder, tmp_path):
    """In a process of its own, whose peak is that of loading."""
    large = tmp_path / "large"
    large.mkdir()
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_size": 512, "intermediate_size": 2048, "num_local_experts": 8, "head_dim": 64}
    (large / "config.json").write_text(json.dumps(config))
    model = uninitialised(ModelConfig.from_folder(large), torch.bfloat16, "cpu")
    save_weights(model, large / "model.safetensors", torch.bfloat16)
    whole = (large / "model.safetensors").stat().st_size
    run = subprocess.run(
        [sys.executable, "-c", PEAK, str(large), str(folder)], capture_output=True, text=True, check=True
    )
    grown, held = map(int, run.stdout.split())
    assert held > 48 << 20
    assert grown < held + filling.THREADS * (1 << 20) + (12 << 20) < whole
