"""Attention of decoding rows to their pages of the cache in one Triton kernel, which reads a table of pages.

R rows with one new token each, H query heads, G key/value heads, hd head dimension, P places of a page.
"""

from torch import Tensor

from model.attention.page_table import PageTable
from model.machine.to_device import Numbers


class TritonDecode(PageTable[Numbers]):
    """One new token of each row, which is in the cache already, reads its row's pages on a GPU."""

    def attend(
        self: "TritonDecode[Tensor]", q: Tensor, keys: Tensor, values: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Queries [R, H, hd], a layer's pages [pages, G, P, hd] -> [R, H, hd], log-sum-exp [R, H]"""
        # Triton comes with torch's builds for GPUs only.
        from model.attention.triton_kernel import attend_pages

        return attend_pages(q.contiguous(), keys, values, self.pages, self.begins, self.ends)
