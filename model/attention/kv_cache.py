"""Keys and values of all rows, in pages, and where a batch's new tokens go.

P places of a page, G key/value heads, hd head dimension, N real tokens of a batch, n of which are kept. A
place holds one token; its number is the page's number times P plus the offset within the page.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.config import ModelConfig
from model.kernels.cache_writes import Writes, indices_of
from model.network.tensor_parallel import TensorParallel
from model.scheduling.batch import Row
from model.sliding_window import SlidingWindow


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
        self.window = SlidingWindow(config.sliding_window, page_size)

    def places(self, pages: np.ndarray, tokens: np.ndarray | int, passed: int = 0) -> np.ndarray:
        """A row's pages from number `passed` on and the numbers of some of its tokens, [n] -> places, [n].

        They are below 0 in place of a page.
        """
        within = tokens % self.page_size
        places: np.ndarray = pages[tokens // self.page_size - passed] * self.page_size + within
        return places

    def indices(self, places: Tensor) -> Tensor:
        """[n, G]: see `indices_of`."""
        return indices_of(places, self.kv_heads, self.page_size)


def writes_of(cache: KVCache, rows: list[Row]) -> Writes[NDArray[Any]]:
    """What a step of these rows writes."""
    size, places, opened = cache.page_size, [], []
    for row in rows:
        places.append(np.full(row.length, -1))
        if row.is_kept:
            kept_tokens = np.arange(row.cached, row.trunk)
            places_of_kept = cache.places(np.array(row.pages), kept_tokens, row.passed)
            places[-1][: len(kept_tokens)] = np.maximum(places_of_kept, -1)
            if (row.trunk - 1) // size * size >= row.cached:
                opened.append(row.pages[(row.trunk - 1) // size - row.passed])
    of_tokens = np.concatenate(places or [np.zeros(0, dtype=np.int64)])
    kept = np.flatnonzero(of_tokens >= 0)
    return Writes(
        cache.kv_heads,
        size,
        of_tokens,
        None if len(kept) == len(of_tokens) else kept,
        np.array(opened) if opened and not cache.fused else None,
    )
