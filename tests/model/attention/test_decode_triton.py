"""Triton's way to decode is the table and the kernel; the kernel itself: test_triton_kernel.py."""

from types import SimpleNamespace

import pytest
import torch

pytest.importorskip("triton", reason="there are no wheels of it for this machine")
from model.attention.decode_triton import TritonDecode
from model.attention.triton_kernel import attend_pages
from model.machine.to_device import to_device
from model.scheduling.batch import Phase, Row
from model.sliding_window import SlidingWindow

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def test_each_row_reads_the_pages_of_its_table():
    generator = torch.Generator().manual_seed(0)
    cache = SimpleNamespace(device=DEVICE, page_size=16, window=SlidingWindow(None, 16))
    rows = [Row(Phase.DECODE, 0, 40, [5], [7, 2, 4]), Row(Phase.DECODE, 1, 2, [6], [3])]
    reads = to_device(TritonDecode.of(cache, rows), DEVICE)
    keys, values = torch.randn(2, 8, 2, 16, 16, generator=generator).to(DEVICE)
    # Heads that lie apart, as they do behind a rotation of queries and keys together.
    q = torch.randn(2, 6, 16, generator=generator).to(DEVICE)[:, :4]
    expected = attend_pages(q.contiguous(), keys, values, reads.pages, reads.begins, reads.ends)
    for got, wanted in zip(reads.attend(q, keys, values), expected, strict=True):
        torch.testing.assert_close(got, wanted, atol=0, rtol=0)
