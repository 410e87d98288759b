"""Decode steps as captured CUDA graphs: a step costs the host one table of numbers and one launch.

R rows of a captured step, of which the last may be spare; V vocabulary.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from model.attention.cached_attention import CachedAttention
from model.attention.decode_triton import TritonDecode
from model.attention.kv_cache import KVCache
from model.execution.decode_table import FIRST_PAGE, DecodeTable
from model.kernels.cache_writes import Writes
from model.network.transformer import Transformer
from model.routing.recorder import RoutingRecorder
from model.routing.token_owners import SPARE_SLOT, TokenOwners
from model.scheduling.batch import Row

_FINE = 16  # up to so many rows the size of a captured step is a power of 2, above it a multiple of this


class DecodeGraphs:
    """A graph for each of some sizes, captured when rows first need it."""

    def __init__(self, model: Transformer, cache: KVCache, routing: RoutingRecorder | None) -> None:
        self.model = model
        self.cache = cache
        self.routing = routing
        self._captured: dict[int, tuple[DecodeStep, Callable[[], Tensor]]] = {}
        self._stream: torch.cuda.Stream | None = None
        self._pool: Any = None

    def logits(self, rows: list[Row]) -> Tensor:
        """Rows that decode -> logits of their new tokens [rows, V], until the next call."""
        size = padded_rows(len(rows))
        if size not in self._captured:
            step = DecodeStep(size, self.model, self.cache, self.routing)
            self._captured[size] = step, self._capture(step.compute)
        step, replay = self._captured[size]
        step.fill(rows)
        logits = replay()[: len(rows)]
        step.table.foresee(rows)  # while the device computes
        return logits

    def forget(self) -> None:
        """Free what the captured steps hold; they are captured anew when rows need them."""
        self._captured.clear()
        self._pool = None

    def _capture(self, compute: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """What `compute` launches on the GPU, as one launch; the result always lies at the same address.

        The graphs share their memory, as one replay's result is used before the next. They have a stream of
        their own: torch frees the workspaces of a graph's stream with the graph.
        """
        compute()  # compiles kernels, which a capture can't
        torch.cuda.synchronize()
        self._stream = self._stream or torch.cuda.Stream()
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
            result = compute()

        def replay() -> Tensor:
            graph.replay()
            return result

        return replay


class DecodeStep:
    """A step of R rows whose inputs lie at a fixed address."""

    def __init__(
        self, rows: int, model: Transformer, cache: KVCache, routing: RoutingRecorder | None
    ) -> None:
        self.model = model
        self.cache = cache
        self.routing = routing
        most_pages = cache.window.held(model.config.max_positions)
        spare_slot = routing.slots + SPARE_SLOT if routing else 0
        self.table = DecodeTable(rows, most_pages, cache, spare_slot)
        self._inputs = self.table.fill([]).to(cache.device, copy=True)

    def fill(self, rows: list[Row]) -> None:
        """Set what the next step computes."""
        self._inputs.copy_(self.table.fill(rows), non_blocking=True)

    def compute(self) -> Tensor:
        """Logits [R, V]; the routing is counted."""
        token_ids, positions, places, begins, ends, slots = self._inputs[:, :FIRST_PAGE].unbind(1)
        attend = CachedAttention(
            self.cache,
            Writes(self.cache.kv_heads, self.cache.page_size, places.long()),
            TritonDecode(self._inputs[:, FIRST_PAGE:], begins, ends),
        )
        observe = self.routing.observe if self.routing else None
        x = self.model.hidden(token_ids.long(), positions.long(), attend, observe)
        if self.routing:
            self.routing.end_step(TokenOwners.decoding(slots.long(), self.routing.slots))
        logits: Tensor = self.model.head(x)
        return logits


def padded_rows(rows: int) -> int:
    """The size of the captured step for so many rows: 1, 2, 4, 8, 16, 32, 48, 64 and so on."""
    return 1 << (rows - 1).bit_length() if rows <= _FINE else -(-rows // _FINE) * _FINE
