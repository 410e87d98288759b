"""A fault in a task's own code ends in an error row. Whole jobs of replicas are in test_in_memory.py."""

import asyncio
from types import SimpleNamespace
from typing import Any

from model.requests.request import Completion, Request
from pipeline.errors import RowError, RowErrorCode
from pipeline.replicas.replica import Replica
from pipeline.task import Finish, Outcome, RowRequests


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
    async def scene() -> list[Outcome]:
        def run(requests: list[Request]) -> list[asyncio.Future[Completion]]:
            futures = []
            for request in requests:
                futures.append(asyncio.get_running_loop().create_future())
                failure: Any = "nan_logits" if request.prompt_token_ids[0] == 3 else None
                futures[-1].set_result(Completion(request.key, None, None, failure))
            return futures

        replica: Any = Replica.__new__(Replica)
        replica._requests, replica._engine = Choosy(), SimpleNamespace(run=run)
        rows = [
            {"file": "f", "row": i, "prompt_token_ids": ids, "params": None, "error_code": "EMPTY_LINE",
             "error_message": "nothing"}
            for i, ids in enumerate(prompts)
        ]  # fmt: skip
        outcomes: list[Outcome] = await replica._run_rows(rows)
        return outcomes

    return asyncio.run(scene())


def test_each_row_ends_in_its_own_place_however_it_ends() -> None:
    outcomes = run_rows([9], [1], None, [2], [3], [8])
    codes = [None, "BAD_PARAMETER", "EMPTY_LINE", "WRONG_TYPE", "NAN_LOGITS", None]
    assert [outcome.error_code for outcome in outcomes] == codes
    assert [outcomes[i].values["text"] for i in (0, 5)] == ["f#0", "f#5"]
    assert outcomes[1].error_message == "refused before"
    assert outcomes[3].error_message == "refused afterwards"
