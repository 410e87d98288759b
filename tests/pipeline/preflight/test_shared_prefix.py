"""An instruction that all prompts share is computed once a replica, and nothing else changes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline.config.job import JobConfig
from pipeline.preflight.job import check_job
from pipeline.preflight.shared_prefix import shared_prefix
from pipeline.run import run
from pipeline.shards.make_plan import make_plan
from tests.published import generations
from tests.random_prompts import random_prompts

INSTRUCTION = [1, *range(40, 60)]

MakeConfig = Callable[..., JobConfig]


@pytest.mark.parametrize(
    ("prompts", "expected"),
    [
        ([[*INSTRUCTION, 5], [*INSTRUCTION, 6, 7], [*INSTRUCTION, 5, 8]], INSTRUCTION),
        ([[*INSTRUCTION, 5], INSTRUCTION], INSTRUCTION[:-1]),
        ([[*INSTRUCTION, 5], [*INSTRUCTION[:9], 5]], []),
        ([[*INSTRUCTION, 5], None], []),
        ([[*INSTRUCTION, 5], None, [*INSTRUCTION, 6]], INSTRUCTION),
    ],
    ids=["shared", "all of a prompt", "too short to be worth it", "a single prompt", "a bad row"],
)
def test_what_all_prompts_of_the_first_shard_begin_with(
    make_config: MakeConfig, prompts: Any, expected: list[int]
) -> None:
    config = make_config(
        [*({"ids": ids} for ids in prompts), {"ids": [9, 9]}], input={"shard_rows": len(prompts)}
    )
    job, plan = check_job(config), make_plan(config.input)
    assert shared_prefix(job.preparation.prepared(plan.shards[0])) == expected


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_a_job_gives_the_same_tokens_and_counts(make_config: MakeConfig, checkpoint: Any) -> None:
    rows = [[*INSTRUCTION, 100 + i, *row] for i, row in enumerate(random_prompts(12))]
    others = random_prompts(20)[12:]
    config = make_config(
        [{"ids": row} for row in rows + others],
        input={"shard_rows": 12},
        generation={"max_new_tokens": 6},
    )
    run(config)
    expected = [checkpoint.generate(row, 6) for row in rows + others]
    assert [list(tokens) for tokens in generations(config)["token_ids"]] == expected
    layers = pd.read_parquet(Path(config.output.path) / "router" / "layers.parquet")
    prefill = layers[(layers["phase"] == "prefill") & (layers["layer"] == 0)].iloc[0]
    assert prefill["tokens"] == sum(map(len, rows + others))
    assert prefill["tokens_computed"] == prefill["tokens"] - len(rows) * len(INSTRUCTION)
