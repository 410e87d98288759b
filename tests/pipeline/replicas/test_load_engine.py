"""What a job file says of the engine reaches the engine."""

import logging
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError
from pipeline.replicas.load_engine import ReplicaOptions, load_engine

MakeConfig = Callable[..., JobConfig]


def options(config: JobConfig, **others: Any) -> ReplicaOptions:
    nothing: Any = None
    return ReplicaOptions(
        config, config.make_task(), config.model.path, None, False, 1, [], nothing, {}, nothing, **others
    )


def test_the_engine_is_loaded_as_the_job_says(make_config: MakeConfig, checkpoint: Any) -> None:
    config = make_config(
        [],
        model={"path": str(checkpoint.folder), "quantization": "int8"},
        engine={"max_batch_rows": 3, "kv_cache_tokens": 320},
        router={"statistics": False},
    )
    engine = load_engine(options(config))
    assert (engine.max_batch_rows, engine.cache_tokens) == (3, 320)
    assert engine.ranks.local.routing is None
    assert not [name for name, _ in engine.ranks.local.model.named_parameters() if "wqkv" in name]


def test_a_gpu_that_was_given_and_that_torch_does_not_see_is_an_error(make_config: MakeConfig) -> None:
    """torch here is built for CPUs; a run on one would be 93 GB of bfloat16 read as 187 of float32."""
    with pytest.raises(ConfigError, match=r"^model: Ray gave this replica GPUs of .+; device gpu: torch"):
        load_engine(options(make_config([]), on_gpus=True))


def test_a_replica_without_a_gpu_runs_on_cpus_though_torch_sees_one(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert load_engine(options(make_config([]))).ranks.local.device.type == "cpu"


def test_a_longest_row_that_memory_does_not_hold_is_an_error_of_the_job(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.machine.budget.available_bytes", lambda: 1 << 10)
    with pytest.raises(ConfigError, match=r"memory does not suffice on .* one row of 256 tokens"):
        load_engine(options(make_config([]), least_cache_tokens=256))


@pytest.mark.parametrize("native", [True, False])
def test_bfloat16_is_computed_where_it_is_emulated_and_said(
    make_config: MakeConfig,
    checkpoint: Any,
    native: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("pipeline.replicas.load_engine.has_native_bfloat16", lambda: native)
    config = make_config([], model={"path": str(checkpoint.folder), "dtype": "bfloat16"})
    with caplog.at_level(logging.WARNING):
        assert load_engine(options(config)).path["dtype"] == "bfloat16"
    assert bool([said for said in caplog.messages if "which this processor only emulates" in said]) != native
