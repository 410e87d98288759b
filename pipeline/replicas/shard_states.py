"""Hidden states of one shard's sample: computed while its rows are tried, group by group, and written.

They are computed within the attempt at the rows, so that a row whose process dies only there is found and
quarantined like any other, and of rows alone that have a result. A group is written as soon as all its rows
have run; where rows of it ran apart, or are in quarantine, at the shard's end.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.requests.layer_states import LayerStates
from model.requests.request import Completion, Request
from pipeline.durable.operations import Create, apply
from pipeline.replicas.hidden_states import HiddenStatesSample, group_path
from pipeline.row_requests import Outcome
from pipeline.shards.shard import Shard
from pipeline.storage.store import Store

RunRequests = Callable[[list[Request]], "list[asyncio.Future[Completion]]"]


class ShardStates:
    """`one_at_a_time` is shared by the shards of a process: a single group of them all is in memory.

    Beside it there are groups of which some rows are still to run, a few for a shard that is run in pieces.
    """

    def __init__(
        self,
        sample: HiddenStatesSample,
        shard: Shard,
        rows: Sequence[dict[str, Any]],
        run: RunRequests,
        store: Store,
        one_at_a_time: asyncio.Lock,
    ) -> None:
        self._sample, self._shard, self._rows = sample, shard, rows
        self._run, self._store, self._lock = run, store, one_at_a_time
        self._groups = dict(enumerate(sample.groups(shard, rows)))  # those that are not written
        self._states: dict[int, NDArray[np.float32]] = {}  # of rows of theirs

    async def compute(self, outcomes: Mapping[int, Outcome]) -> None:
        """Of the rows of the sample among those that have just run, by their number in the shard."""
        for group, members in [*self._groups.items()]:
            chosen = [row for row in members if row in outcomes and outcomes[row].error_code is None]
            is_whole = outcomes.keys() >= {*members}
            if not (chosen or is_whole):
                continue
            async with self._lock:
                completions = await asyncio.gather(*self._run([self._request(row) for row in chosen]))
                for row, completion in zip(chosen, completions, strict=True):
                    if completion.failure is None:
                        self._states[row] = completion.answer
                if is_whole:
                    await self._write(group)

    async def write_rest(self) -> None:
        """What is left once the shard's rows have ended."""
        async with self._lock:
            for group in [*self._groups]:
                await self._write(group)

    async def _write(self, group: int) -> None:
        members = self._groups.pop(group)
        states = [(self._rows[row], self._states.pop(row)) for row in members if row in self._states]
        if states:
            await asyncio.to_thread(self._create, group_path(self._shard, group), states)

    def _create(self, path: str, states: Sequence[tuple[dict[str, Any], NDArray[np.float32]]]) -> None:
        apply(Create(path, self._sample.file(states)), self._store)

    def _request(self, row: int) -> Request:
        at = self._rows[row]
        key = f"{at['file']}#{at['row']} hidden states"
        return Request(key, at["prompt_token_ids"], readout=LayerStates())
