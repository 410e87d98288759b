"""The sizes that `engine.deterministic: shard` fixes, beside running each shard alone.

A result's last bits depend on the rows that are computed in one batch with it and on how many threads share
a sum, so batch, cache and threads get sizes that follow from the job alone. The bits depend on the kind of
machine too: see `pipeline.durable.same_machine`.
"""

from pipeline.config.job import JobConfig

_THREADS = 1
_BATCH_ROWS = 128
_CACHE_TOKENS = 65_536
_PREFIX_TOKENS = 16_384


def with_fixed_sizes(config: JobConfig, longest: int) -> JobConfig:
    """With `deterministic: shard`, the job with fixed numbers in place of `auto`; any other job as it is.

    `longest` is how many tokens of cache the longest row may need.
    """
    engine = config.engine
    if engine.deterministic == "none":
        return config
    rows = _BATCH_ROWS if engine.max_batch_rows == "auto" else engine.max_batch_rows
    fixed = {
        "threads": _THREADS if engine.threads == "auto" else engine.threads,
        "max_batch_rows": rows,
        "kv_cache_tokens": engine.kv_cache_tokens
        if engine.kv_cache_tokens != "auto"
        else min(max(_CACHE_TOKENS, longest), rows * longest),
    }
    return config.model_copy(update={"engine": engine.model_copy(update=fixed)})


def with_cache_for_prefixes(config: JobConfig) -> JobConfig:
    """The job with a small cache in place of `auto`, for rows that are answered by one pass.

    They keep nothing in it; it holds what their prompts share, and long prompts while they are computed.
    """
    if config.engine.kv_cache_tokens != "auto":
        return config
    engine = config.engine.model_copy(update={"kv_cache_tokens": _PREFIX_TOKENS})
    return config.model_copy(update={"engine": engine})
