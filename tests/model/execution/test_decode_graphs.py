"""Which sizes are captured, and how often. What captured steps compute: test_gpu_path_on_a_cpu.py."""

from types import SimpleNamespace

import torch

from model.execution import decode_graphs
from model.execution.decode_graphs import DecodeGraphs, padded_rows


def test_sizes_are_few_and_near_the_rows():
    sizes = {rows: padded_rows(rows) for rows in range(1, 257)}
    assert all(rows <= size for rows, size in sizes.items())
    assert sorted({*sizes.values()})[:8] == [1, 2, 4, 8, 16, 32, 48, 64]
    assert all(size - rows < max(16, rows) for rows, size in sizes.items())
    assert len({*sizes.values()}) == 4 + 16


def test_a_size_is_captured_once_until_the_prefix_changes(monkeypatch):
    captured, foreseen = [], []

    class Step:
        def __init__(self, size, *_):
            self.size = size
            self.table = SimpleNamespace(foresee=foreseen.append)

        def fill(self, rows):
            self.rows = rows

        def compute(self):
            return torch.arange(self.size)

    def capture(self, compute):
        captured.append(len(compute()))
        return compute

    monkeypatch.setattr(decode_graphs, "DecodeStep", Step)
    monkeypatch.setattr(DecodeGraphs, "_capture", capture)
    graphs = DecodeGraphs(SimpleNamespace(), SimpleNamespace(), None)
    assert graphs.logits([None] * 3).tolist() == [0, 1, 2], "spare rows are cut off"
    graphs.logits([None] * 4)
    graphs.logits([None])
    assert captured == [4, 1]
    assert [len(rows) for rows in foreseen] == [3, 4, 1], "after the launch, while the device computes"
    graphs.forget()
    graphs.logits([None] * 3)
    assert captured == [4, 1, 4]
