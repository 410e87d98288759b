"""Keys and values of all rows, in pages, and where a batch's new tokens go.

P places of a page, G key/value heads, hd head dimension, N real tokens of a batch.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.batch import Row
from model.config import ModelConfig
from model.parallel import TensorParallel


class KVCache:
    def __init__(
        self,
        config: ModelConfig,
        pages: int,
        page_size: int,
        tp: TensorParallel,
        dtype: torch.dtype,
        device: torch.device,
        flash: bool = False,
    ) -> None:
        kv_heads = tp.kv_share(config.num_kv_heads)
        # Where steps are captured, one page more, for rows that only fill such a step.
        shape = (pages + flash, page_size, kv_heads.stop - kv_heads.start, config.head_dim)
        self.keys = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(config.num_layers)]
        self.values = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(config.num_layers)]
        # Of the prefix that rows share, keys and values [1, G, prefix tokens, hd] of each layer.
        self.prefix: list[tuple[Tensor, Tensor]] = []
        self.page_size = page_size
        self.spare_page = pages
        self.device = device
        self.flash = flash  # attention runs in a GPU's own kernels
        self.sliding_window = config.sliding_window


@dataclass(frozen=True)
class Writes:
    """Which new tokens of a batch are kept, and in which places of the cache."""

    tokens: Tensor | None  # [n] of the N; None: all of them
    places: Tensor  # [n]
    # A page's last reader may have left NaN there, which no mask would hide: 0 * NaN is NaN.
    opened: Tensor | None = None

    @classmethod
    def of(cls, cache: KVCache, rows: list[Row]) -> "Writes":
        size, end = cache.page_size, 0
        tokens, places, opened = [], [], []
        for row in rows:
            if row.pages:
                place = np.arange(row.cached, row.trunk)
                tokens.append(np.arange(end, end + len(place)))
                places.append(np.array(row.pages)[place // size] * size + place % size)
                if (row.trunk - 1) // size * size >= row.cached:
                    opened.append(row.pages[(row.trunk - 1) // size])
            end += row.length
        kept = np.concatenate(tokens) if tokens else np.zeros(0, dtype=np.int64)
        return cls(
            None if len(kept) == end else torch.from_numpy(kept).to(cache.device),
            torch.from_numpy(np.concatenate(places) if places else kept).to(cache.device),
            torch.tensor(opened, device=cache.device) if opened else None,
        )

    def store(self, pages: Tensor, new: Tensor) -> None:
        """New keys or values [N, G, hd] of one layer into its pages [pages, P, G, hd]."""
        if self.opened is not None:
            pages.index_fill_(0, self.opened, 0)
        if len(self.places):
            pages.flatten(0, 1).index_copy_(0, self.places, new if self.tokens is None else new[self.tokens])
