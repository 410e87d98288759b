"""What pandas, polars, duckdb and Hugging Face datasets read of an output: all the same values."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pytest

from model.engine import Engine
from pipeline.config.job import JobConfig
from pipeline.durable.commit import part_path
from pipeline.output.part_file import part_bytes
from pipeline.preflight.job import check_job
from pipeline.reporting.summary import ShardSummary
from pipeline.row_requests import Outcome
from pipeline.rows.result_rows import ResultRows
from pipeline.shards.make_plan import make_plan

ROWS = [
    {"text": "It came broken.", "n": 1, "tags": ["a"], "yes": True},
    {"text": None, "n": 0.5, "tags": [], "yes": None},
    {"text": "Where is it?", "n": 10**30 + 1, "tags": None, "yes": False},
]


def publish(config: JobConfig) -> str:
    """The parts of a job, by its own code without Ray; returns a glob of them."""
    job = check_job(config)
    requests = job.task.requests(job.prompt_format)
    engine = Engine.load(job.checkpoint, "float32", threads=1)
    folder = Path(config.output.path) / "generations"
    folder.mkdir(parents=True)
    for shard in make_plan(job.config.input, task=job.task).shards:
        prepared = job.preparation.prepared(shard)
        outcomes = []
        for row in prepared.to_pylist():
            if row["prompt_token_ids"] is None:
                outcomes.append(Outcome(row["error_code"], row["error_message"]))
                continue
            request, finish = requests.start(row["id"], row["prompt_token_ids"], row["params"])
            outcomes += map(finish, engine.run([request]))
        rows = ResultRows(job.config, job.task, job.model).table(prepared, outcomes)
        part = part_bytes(part_path(shard), rows, ShardSummary.of(rows, job.task), None)
        Path(config.output.path, part_path(shard)).write_bytes(part)
    return str(folder / "*.parquet")


def read_by_all(glob: str, tmp_path: Path) -> dict[str, list[dict[str, Any]]]:
    from datasets import load_dataset

    cache = str(tmp_path / "cache")
    return {
        "pandas": pd.read_parquet(Path(glob).parent).to_dict("records"),
        "polars": pl.read_parquet(glob).to_dicts(),
        "duckdb": duckdb.sql(f"select * from read_parquet('{glob}') order by file, row").pl().to_dicts(),
        "datasets": [*load_dataset("parquet", data_files=glob, split="train", cache_dir=cache)],
    }


@pytest.mark.parametrize("task", ["label", "generate"])
def test_all_of_them_read_the_same(
    make_config: Callable[..., JobConfig], tmp_path: Path, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    own = {"label": {"choices": ["yes", "no"]}} if task == "label" else {"generation": {"max_new_tokens": 2}}
    keep = {"number": "n", "tags": "tags", "yes": "yes"}
    config = make_config(
        ROWS,
        task=task,
        prompt={"column": "text"},
        input={"keep": keep, "shard_rows": 2, "chat": False},
        **own,
    )
    read = read_by_all(publish(config), tmp_path)
    for name, rows in read.items():
        assert [row["id"] for row in rows] == [f"rows.jsonl#{row}" for row in range(3)], name
        first, second, third = rows
        assert (first["number"], list(first["tags"]), first["yes"]) == (1.0, ["a"], True), name
        assert (second["status"], second["number"], list(second["tags"])) == ("error", 0.5, []), name
        assert third["kept_unfit"] == f'{{"number":{10**30 + 1}}}', name
        assert list(first["router_prefill_first"]) == list(read["polars"][0]["router_prefill_first"])
        assert sum(first["router_prefill_first"]) == 3 * first["prompt_tokens"], "of 3 layers"
        if task == "label":
            probs = list(first["label_probs"])
            assert [one["label"] for one in probs] == ["yes", "no"], name
            assert sum(one["prob"] for one in probs) == pytest.approx(1)
            assert first["label_mass"] == read["pandas"][0]["label_mass"] > 0
            assert not {"text", "generated_tokens", "router_decode_first"} & first.keys()
        else:
            assert (first["generated_tokens"], len(first["token_ids"])) == (2, 2), name
            assert sum(first["router_decode_second"]) == 3
            assert not [column for column in first if column.startswith("label")]
