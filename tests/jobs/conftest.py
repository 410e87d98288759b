"""A job of some seconds, for the command line."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml


@pytest.fixture
def job_file(tmp_path: Path, checkpoint: Any) -> Path:
    """A job of 200 rows in small shards, over the random checkpoint."""
    dice = random.Random(3)
    rows = [{"ids": [dice.randrange(3, 32_000) for _ in range(dice.randrange(1, 40))]} for _ in range(200)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    job = {
        "job": "cli",
        "task": "generate",
        "model": {"path": str(checkpoint.folder)},
        "input": {"path": str(tmp_path / "rows.jsonl"), "prompt": {"token_ids": "ids"}, "shard_rows": 8},
        "generation": {"max_new_tokens": 12, "ignore_eos": True},
        "engine": {"replicas": 1, "max_batch_rows": 4},
        "output": {"path": str(tmp_path / "out"), "include": ["token_ids"]},
    }
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(job))
    return path
