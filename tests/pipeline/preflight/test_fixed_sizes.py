from collections.abc import Callable
from typing import Any

from pipeline.config.job import JobConfig
from pipeline.preflight.job import check_job

MakeConfig = Callable[..., JobConfig]


def test_sizes_follow_from_the_job_alone_and_belong_to_it(make_config: MakeConfig) -> None:
    fixed = check_job(make_config([], engine={"deterministic": "shard"}))
    engine = fixed.config.engine
    assert (engine.threads, engine.max_batch_rows) == (1, 128)
    assert engine.kv_cache_tokens == 128 * 256, "all 128 rows at the context of 256 fit into 65,536"
    given: dict[str, Any] = {"threads": 1, "max_batch_rows": 128, "kv_cache_tokens": 128 * 256, "replicas": 3}
    assert check_job(make_config([], engine={"deterministic": "shard", **given})).spec == fixed.spec
    for name in ("threads", "max_batch_rows", "kv_cache_tokens"):
        other = check_job(make_config([], engine={"deterministic": "shard", name: 300}))
        assert other.spec != fixed.spec

    free = check_job(make_config([]))
    assert free.config.engine.kv_cache_tokens == "auto"
    assert free.spec == check_job(make_config([], engine=given)).spec
