"""`model.fetch: stream`: a replica that never has the weights on its disk computes the same."""

import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from model.checkpoint import fill as filling
from model.checkpoint.load import load_transformer, save_weights, uninitialised
from model.config import ModelConfig
from model.network.tensor_parallel import TensorParallel
from model.sampling.sampling_params import SamplingParams
from pipeline.checkpoints.location import locate
from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError
from pipeline.preflight.job import check_job
from pipeline.replicas.load_engine import load_engine
from pipeline.replicas.replica_pool import replica_options
from tests.model.checkpoint.lora_adapter import write_old
from tests.pipeline.conftest import write

PROMPT = [1, 733, 16289]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIXTRAY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def upload(folder: Path, url: str) -> str:
    for file in folder.iterdir():
        write(f"{url}/{file.name}", file.read_bytes())
    return url


def test_a_replica_streams_the_checkpoint_that_the_job_began_with(
    make_config: Callable[..., JobConfig], checkpoint: Any, s3_url: str, cache: Path
) -> None:
    url = upload(checkpoint.folder, s3_url)
    engine = {"max_batch_rows": 2, "kv_cache_tokens": 320}
    config = make_config([], model={"path": url, "fetch": "stream"}, engine=engine)
    job = check_job(config)
    assert job.spec == check_job(make_config([], engine=engine)).spec, "where weights come from is free"
    resources: Any = SimpleNamespace(threads=1, num_gpus=0)
    given = replica_options(job, None, resources, None)  # type: ignore[arg-type]
    loaded = load_engine(given)
    [completion] = loaded.generate([PROMPT], SamplingParams(max_new_tokens=5))
    loaded.close()
    assert completion.token_ids == checkpoint.generate(PROMPT, 5)
    assert sorted({file.name for file in cache.rglob("*") if file.is_file() and file.suffix != ".lock"}) == [
        "config.json", "generation_config.json", "tokenizer.model", "tokenizer_config.json",
    ]  # fmt: skip

    tensors = load_file(checkpoint.folder / "model.safetensors")
    tensors["lm_head.weight"] *= 1.01
    save_file(tensors, cache / "another")
    write(f"{url}/model.safetensors", (cache / "another").read_bytes())
    with pytest.raises(ConfigError, match=r"^model\.path: s3://.*: it is another checkpoint than the job"):
        load_engine(given)


@pytest.mark.parametrize("how", ["plain", "a rank of two", "int4", "adapter"])
def test_parameters_are_those_of_the_files(checkpoint: Any, tmp_path: Path, how: str) -> None:
    url = upload(checkpoint.folder, f"memory://{how.replace(' ', '-')}")
    located = locate(url)
    weights = pickle.loads(pickle.dumps(located.streamed()))
    options: dict[str, Any] = {
        "plain": {},
        "a rank of two": {"tp": TensorParallel(1, 2)},
        "int4": {"quantization": "int4"},
        "adapter": {"adapter": write_old(tmp_path / "adapter", sizes=(32, 48, 4), scale=1.0)},
    }[how]
    streamed = load_transformer(located.folder, torch.float32, weights=weights, **options)
    stored = load_transformer(checkpoint.folder, torch.float32, **options)
    for (name, ours), (_, theirs) in zip(streamed.named_parameters(), stored.named_parameters(), strict=True):
        assert torch.equal(ours, theirs), name
    if how != "a rank of two":
        ids = torch.tensor([PROMPT])
        logits, expected = (model(ids, torch.ones(1, 3, dtype=torch.bool)) for model in (streamed, stored))
        assert torch.equal(logits, expected)


PEAK = """
import sys, torch
from model.checkpoint import fill
from model.checkpoint.load import load_transformer
from model.network.tensor_parallel import TensorParallel
from pipeline.checkpoints.location import locate
def peak():
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmHWM"))
def load(url, *options):
    located = locate(url)
    return load_transformer(located.folder, *options, weights=located.streamed())
load(sys.argv[2], torch.float32)  # a small one, for what loading and the client take once
fill.CHUNK = 1 << 18
before = peak()
model = load(sys.argv[1], torch.bfloat16, "cpu", TensorParallel(1, 2))
print(peak() - before, sum(parameter.nbytes for parameter in model.parameters()))
"""


def test_memory_is_the_slice_and_bounded_buffers(checkpoint: Any, tmp_path: Path, s3_url: str) -> None:
    """In a process of its own, whose peak is that of loading."""
    large = tmp_path / "large"
    large.mkdir()
    config = json.loads((checkpoint.folder / "config.json").read_text())
    config |= {"hidden_size": 256, "intermediate_size": 1024, "num_local_experts": 8, "vocab_size": 1024}
    (large / "config.json").write_text(json.dumps(config))
    model = uninitialised(ModelConfig.from_folder(large), torch.bfloat16, "cpu")
    save_weights(model, large / "model.safetensors", torch.bfloat16)
    whole = (large / "model.safetensors").stat().st_size
    urls = upload(large, f"{s3_url}/large"), upload(checkpoint.folder, f"{s3_url}/small")
    shutil.rmtree(large)
    run = subprocess.run([sys.executable, "-c", PEAK, *urls], capture_output=True, text=True, check=True)
    grown, held = map(int, run.stdout.split())
    assert held > 18 << 20
    assert grown < held + 3 * filling.THREADS * (1 << 18) + (10 << 20) < whole
