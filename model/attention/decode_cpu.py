"""Attention of decoding rows to their pages of the cache in one C++ kernel, which reads a table of pages.

R rows with one new token each, H query heads, G key/value heads, hd head dimension, P places of a page. Its
plain twin, which runs where nothing can be compiled: decode_torch.py.
"""

from pathlib import Path

import torch
from torch import Tensor

from model.attention.page_table import PageTable
from model.kernels.build import load
from model.machine.to_device import Numbers

_SOURCE = Path(__file__).with_name("paged_attention.cpp")


class CpuDecode(PageTable[Numbers]):
    """One new token of each row, which is in the cache already, reads its row's pages on a CPU."""

    @staticmethod
    def is_compiled() -> bool:
        """Whether the kernels are there; compiles them if need be: some seconds once a machine."""
        return load(_SOURCE)

    def attend(self: "CpuDecode[Tensor]", q: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Queries [R, H, hd], a layer's pages [pages, G, P, hd] -> [R, H, hd], log-sum-exp [R, H]"""
        return attend_pages(q.contiguous(), keys, values, self.pages, self.begins, self.ends)


def attend_pages(
    q: Tensor, keys: Tensor, values: Tensor, table: Tensor, begins: Tensor, ends: Tensor
) -> tuple[Tensor, Tensor]:
    """Queries [R, H, hd] to pages [pages, G, P, hd] -> [R, H, hd] and log-sum-exp [R, H].

    Row r reads places `begins[r]` up to `ends[r]` (at least one) of the pages `table[r]`, all int32. The bits
    of a row's result are the same beside any other rows and on any number of threads.
    """
    attended, lse = torch.ops.mixtray.attend_pages(q, keys, values, table, begins, ends)
    return attended, lse
