"""A fault in a task's own code ends in an error row. Whole jobs of replicas are in test_in_memory.py."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from model.engine import Engine
from model.requests.request import Completion, Request
from pipeline.config.job import JobConfig
from pipeline.errors import RowError, RowErrorCode
from pipeline.preflight.job import check_job
from pipeline.replicas.replica import _ROW_COLUMNS, Replica
from pipeline.row_requests import Finish, Outcome, RowRequests
from pipeline.shards.make_plan import make_plan


class Choosy(RowRequests):
    """Refuses prompts that begin with 1 before they run, and those that begin with 2 afterwards."""

    def start(self, key: str, prompt_token_ids: list[int], params: str | None) -> tuple[Request, Finish]:
        if prompt_token_ids[0] == 1:
            raise RowError(RowErrorCode.BAD_PARAMETER, "refused before")

        def finish(completion: Completion) -> Outcome:
            if prompt_token_ids[0] == 2:
                raise RowError(RowErrorCode.WRONG_TYPE, "refused afterwards")
            return Outcome(values={"text": completion.key})

        return Request(key, prompt_token_ids), finish


def run_rows(*prompts: list[int] | None) -> list[Outcome]:
    async def scene() -> Any:
        def run(requests: list[Request]) -> list[asyncio.Future[Completion]]:
            futures = []
            for request in requests:
                futures.append(asyncio.get_running_loop().create_future())
                failure: Any = "nan_logits" if request.prompt_token_ids[0] == 3 else None
                futures[-1].set_result(Completion(request.key, None, None, failure))
            return futures

        rows = [
            {"file": "f", "row": i, "id": f"id {i}", "prompt_token_ids": ids, "params": None,
             "error_code": "EMPTY_LINE", "error_message": "nothing"}
            for i, ids in enumerate(prompts)
        ]  # fmt: skip
        return await replica_of(Choosy(), run)._run_rows(rows)

    outcomes: list[Outcome] = asyncio.run(scene())
    return outcomes


def replica_of(requests: RowRequests, run: Callable[[list[Request]], list[Any]]) -> Any:
    replica: Any = Replica.__new__(Replica)
    replica._requests, replica._engine = requests, SimpleNamespace(run=run)
    return replica


def test_each_row_ends_in_its_own_place_however_it_ends() -> None:
    outcomes = run_rows([9], [1], None, [2], [3], [8])
    codes = [None, "BAD_PARAMETER", "EMPTY_LINE", "WRONG_TYPE", "NAN_LOGITS", None]
    assert [outcome.error_code for outcome in outcomes] == codes
    assert [outcomes[i].values["text"] for i in (0, 5)] == ["f#0", "f#5"]
    assert outcomes[1].error_message == "refused before"
    assert outcomes[3].error_message == "refused afterwards"


@pytest.mark.parametrize("id_column", ["key", None])
def test_a_row_s_random_numbers_follow_its_id(
    make_config: Callable[..., JobConfig], checkpoint: Any, tmp_path: Path, id_column: str | None
) -> None:
    """The same rows behind a new first line, and in a file of another name: `b` and `b` share a stream."""
    engine = Engine.load(checkpoint.folder, threads=1)

    def run(requests: list[Request]) -> list[Any]:
        done = []
        for completion in engine.run(requests):
            done.append(asyncio.get_running_loop().create_future())
            done[-1].set_result(completion)
        return done

    def texts(rows: list[dict[str, Any]], file: str) -> dict[str, list[str]]:
        config = make_config(
            rows,
            prompt={"column": "text"},
            input={"id_column": id_column, "path": str(tmp_path / "rows.jsonl")},
            generation={"temperature": 1.5, "max_new_tokens": 8},
        )
        (tmp_path / file).write_bytes((tmp_path / "rows.jsonl").read_bytes())
        job = check_job(config)
        section = config.input.model_copy(update={"path": [str(tmp_path / file)]})
        [shard] = make_plan(section).shards
        prepared = job.preparation.prepared(shard).select(_ROW_COLUMNS).to_pylist()
        replica = replica_of(job.task.requests(job.prompt_format), run)

        async def scene() -> list[Outcome]:
            outcomes: list[Outcome] = await replica._run_rows(prepared)
            return outcomes

        found: dict[str, list[str]] = {}
        for row, outcome in zip(rows, asyncio.run(scene()), strict=True):
            found.setdefault(row["key"], []).append(outcome.values["text"])
        return found

    rows = [{"key": key, "text": "Tell me"} for key in ("a", "b", "b", "c")]
    before = texts(rows, "one.jsonl")
    after = texts([{"key": "new", "text": "Tell me"}, *reversed(rows)], "two.jsonl")
    assert len({text for found in before.values() for text in found}) == (3 if id_column else 4)
    assert (before["b"][0] == before["b"][1]) == (id_column is not None), "equal ids draw alike"
    assert (all(after[key] == before[key] for key in before)) == (id_column is not None)
