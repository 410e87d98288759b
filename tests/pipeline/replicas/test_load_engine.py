"""What a job file says of the engine reaches the engine."""

from collections.abc import Callable
from typing import Any

from pipeline.config.job import JobConfig
from pipeline.replicas.load_engine import ReplicaOptions, load_engine


def test_the_engine_is_loaded_as_the_job_says(make_config: Callable[..., JobConfig], checkpoint: Any) -> None:
    config = make_config(
        [],
        model={"path": str(checkpoint.folder), "quantization": "int8"},
        engine={"max_batch_rows": 3, "kv_cache_tokens": 320},
        router={"statistics": False},
    )
    options: Any = ReplicaOptions(
        config, config.make_task(), str(checkpoint.folder), None, False, 1, [], None, {}, None
    )  # type: ignore[arg-type]
    engine = load_engine(options)
    assert (engine.max_batch_rows, engine.cache_tokens) == (3, 320)
    assert engine.ranks.local.routing is None
    assert not [name for name, _ in engine.ranks.local.model.named_parameters() if "wqkv" in name]
