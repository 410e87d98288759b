"""What a job file says of the engine reaches the engine, and so does the checkpoint, wherever it lies."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from model.sampling.sampling_params import SamplingParams
from pipeline.checkpoints.fingerprint import checkpoint_fingerprint
from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError
from pipeline.preflight.job import check_job
from pipeline.replicas.load_engine import ReplicaOptions, load_engine
from pipeline.replicas.replica_pool import replica_options
from tests.pipeline.conftest import write


def test_the_engine_is_loaded_as_the_job_says(make_config: Callable[..., JobConfig], checkpoint: Any) -> None:
    config = make_config(
        [],
        model={"path": str(checkpoint.folder), "quantization": "int8"},
        engine={"max_batch_rows": 3, "kv_cache_tokens": 320},
        router={"statistics": False},
    )
    spec = {"checkpoint": checkpoint_fingerprint(checkpoint.folder)}
    options: Any = ReplicaOptions(
        config, config.make_task(), str(checkpoint.folder), None, 1, [], None, spec, None
    )  # type: ignore[arg-type]
    engine = load_engine(options)
    assert (engine.max_batch_rows, engine.cache_tokens) == (3, 320)
    assert engine.ranks.local.routing is None
    assert not [name for name, _ in engine.ranks.local.model.named_parameters() if "wqkv" in name]


def test_a_machine_fetches_a_url_into_its_own_cache_and_takes_no_other_checkpoint(
    make_config: Callable[..., JobConfig], checkpoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in checkpoint.folder.iterdir():
        write(f"memory://replicas/{file.name}", file.read_bytes())
    config = make_config(
        [], model={"path": "memory://replicas"}, engine={"max_batch_rows": 2, "kv_cache_tokens": 320}
    )
    monkeypatch.setenv("MIXTRAY_CACHE", str(tmp_path / "of the driver"))
    job = check_job(config)
    assert job.checkpoint.is_relative_to(tmp_path / "of the driver")
    resources: Any = SimpleNamespace(threads=1)
    options = replica_options(job, None, resources, [], None)  # type: ignore[arg-type]

    (tmp_path / "of the driver").rename(tmp_path / "out of sight")
    monkeypatch.setenv("MIXTRAY_CACHE", str(tmp_path / "of the machine"))
    engine = load_engine(options)
    [completion] = engine.generate([[1, 733, 16289]], SamplingParams(max_new_tokens=5))
    assert completion.token_ids == checkpoint.generate([1, 733, 16289], 5)
    [weights] = (tmp_path / "of the machine").rglob("model.safetensors")
    assert checkpoint_fingerprint(weights.parent) == job.spec["checkpoint"]

    write("memory://replicas/generation_config.json", b'{"eos_token_id": 7}')
    with pytest.raises(ConfigError, match=r"^model\.path: memory://replicas: it is another checkpoint than"):
        load_engine(options)
