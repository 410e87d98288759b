"""Keys and values of all rows, in pages, and where a batch's new tokens go.

P places of a page, G key/value heads, hd head dimension, N real tokens of a batch, n of which are kept. A
place holds one token; its number is the page's number times P plus the offset within the page.
"""

from dataclasses import dataclass
from typing import Any, Generic

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.config import ModelConfig
from model.machine.to_device import Numbers
from model.network.tensor_parallel import TensorParallel
from model.scheduling.batch import Row


class KVCache:
    def __init__(
        self,
        config: ModelConfig,
        pages: int,
        page_size: int,
        tp: TensorParallel,
        dtype: torch.dtype,
        device: torch.device,
        fused: bool = False,
        compiled: bool = False,
    ) -> None:
        kv_heads = tp.kv_share(config.num_kv_heads)
        self.kv_heads = kv_heads.stop - kv_heads.start
        # Captured steps have a fixed number of rows; those that only fill a step up write into a spare page.
        shape = (pages + (1 if fused else 0), self.kv_heads, page_size, config.head_dim)
        # Uninitialised: on a CPU it takes memory only as rows come.
        self.keys = [torch.empty(shape, dtype=dtype, device=device) for _ in range(config.num_layers)]
        self.values = [torch.empty(shape, dtype=dtype, device=device) for _ in range(config.num_layers)]
        self.page_size = page_size
        self.spare_page = pages
        self.device = device
        # Whether attention runs in fused kernels of a GPU, which load the keys that are seen and no others.
        self.fused = fused
        self.compiled = compiled  # the same of a CPU's decode steps
        self.sliding_window = config.sliding_window

    def first_seen(self, trunk: int) -> int:
        """Of so many tokens of a row, the first that the last one sees."""
        return max(trunk - self.sliding_window, 0) if self.sliding_window else 0

    def places(self, pages: np.ndarray, tokens: np.ndarray | int) -> np.ndarray:
        """A row's pages and the numbers of some of its tokens, [n] -> their places, [n]."""
        within = tokens % self.page_size
        places: np.ndarray = pages[tokens // self.page_size] * self.page_size + within
        return places

    def indices(self, places: Tensor) -> Tensor:
        """Places [n] -> which of a layer's keys or values, as [pages * G * P, hd], are theirs, [n, G]."""
        page, within = places // self.page_size, places % self.page_size
        head = torch.arange(self.kv_heads, device=self.device)
        indices: Tensor = (page[:, None] * self.kv_heads + head) * self.page_size + within[:, None]
        return indices


@dataclass(frozen=True)
class Writes(Generic[Numbers]):
    """Which new tokens of a batch are kept, and in which places of the cache."""

    tokens: Numbers | None  # [n] of the N; None: all of them
    places: Numbers  # [n]
    # Pages that this step begins. They are cleared: unwritten memory may hold NaN, which no mask hides, since
    # 0 * NaN is NaN. Fused kernels load nothing that is not seen, so there it is None.
    opened: Numbers | None = None

    @staticmethod
    def of(cache: KVCache, rows: list[Row]) -> "Writes[NDArray[Any]]":
        size, end = cache.page_size, 0
        tokens, places, opened = [], [], []
        for row in rows:
            if row.is_kept:
                kept_tokens = np.arange(row.cached, row.trunk)
                tokens.append(end + kept_tokens - row.cached)
                places.append(cache.places(np.array(row.pages), kept_tokens))
                if (row.trunk - 1) // size * size >= row.cached:
                    opened.append(row.pages[(row.trunk - 1) // size])
            end += row.length
        none = [np.zeros(0, dtype=np.int64)]
        kept = np.concatenate(tokens or none)
        return Writes(
            None if len(kept) == end else kept,
            np.concatenate(places or none),
            np.array(opened) if opened and not cache.fused else None,
        )

    def store(self: "Writes[Tensor]", pages: Tensor, new: Tensor, indices: Tensor) -> None:
        """New keys or values [N, G, hd] of one layer into its pages [pages, G, P, hd].

        `indices` are those of the places: see KVCache.indices.
        """
        if self.opened is not None:
            pages.index_fill_(0, self.opened, 0)
        if len(indices):
            kept = new if self.tokens is None else new[self.tokens]
            pages.flatten(0, 2).index_copy_(0, indices.flatten(), kept.flatten(0, 1))
