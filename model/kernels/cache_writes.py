"""Which new tokens of a batch the cache keeps, and where: a rotation stores them beside its own result.

N new tokens, n of which are kept; G key/value heads, hd head dimension, P places of a page. A place holds one
token; its number is the page's number times P plus the offset within the page.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Generic

import torch
from torch import Tensor

from model.machine.to_device import Numbers


def indices_of(places: Tensor, kv_heads: int, page_size: int) -> Tensor:
    """Places [n] -> which of a layer's keys or values, as [pages * G * P, hd], are theirs, [n, G]."""
    page, within = places // page_size, places % page_size
    head = torch.arange(kv_heads, device=places.device)
    indices: Tensor = (page[:, None] * kv_heads + head) * page_size + within[:, None]
    return indices


@dataclass(frozen=True)
class Writes(Generic[Numbers]):
    """Which new tokens are kept, and in which places: the same in every layer."""

    kv_heads: int  # G
    page_size: int  # P
    places: Numbers  # [N]; -1: not kept
    tokens: Numbers | None = None  # [n], those that are kept; None: all
    # Pages that this step begins. They are cleared: unwritten memory may hold NaN, which no mask hides, since
    # 0 * NaN is NaN. Fused kernels load nothing that is not seen, so there it is None.
    opened: Numbers | None = None

    @cached_property
    def indices(self: "Writes[Tensor]") -> Tensor:
        """[n * G]: see `indices_of`."""
        places = self.places if self.tokens is None else self.places[self.tokens]
        return indices_of(places, self.kv_heads, self.page_size).flatten()


@dataclass(frozen=True)
class LayerCache:
    """A layer's pages, and what a step writes into them."""

    keys: Tensor  # [pages, G, P, hd]
    values: Tensor
    writes: Writes[Tensor]

    def store(self, k: Tensor, v: Tensor) -> None:
        """New keys and values [N, G, hd], by torch's own operators."""
        for pages, new in ((self.keys, k), (self.values, v)):
            if self.writes.opened is not None:
                pages.index_fill_(0, self.writes.opened, 0)
            kept = new if self.writes.tokens is None else new[self.writes.tokens]
            if len(kept):
                pages.flatten(0, 2).index_copy_(0, self.writes.indices, kept.flatten(0, 1))
