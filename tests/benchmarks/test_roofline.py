"""What a step takes at least, counted by hand, and the time of its parts, measured on a tiny model."""

import pytest
import torch

from benchmarks import roofline
from benchmarks.nested_clocks import NestedClocks
from benchmarks.random_checkpoint import SIZES
from benchmarks.step_parts import (
    CACHE,
    EXPERTS,
    HEAD,
    NORMS,
    PROJECTIONS,
    RESIDUALS,
    ROUTER,
    Load,
    step_parts,
)
from model.config import ModelConfig
from model.machine.budget import bytes_per_token, weight_bytes

CONFIG = ModelConfig.from_dict(SIZES["214m"])


def test_a_step_of_many_rows_reads_all_weights_that_multiply():
    """With no tokens to move, only weights are left; all but the embedding and the norms multiply."""
    parts = step_parts(CONFIG, Load(1, 1, 0, prefill=False), 4)
    no_moving = sum(parts[name].bytes for name in (PROJECTIONS, ROUTER, HEAD))
    experts = 8 * 8 * 3 * 512 * 1792 * 4
    weights = weight_bytes(CONFIG, torch.float32) - 32000 * 512 * 4
    assert no_moving + experts == pytest.approx(weights, rel=0.002)
    assert step_parts(CONFIG, Load(64, 64, 0, prefill=False), 4)[EXPERTS].bytes >= experts
    assert parts[EXPERTS].bytes == pytest.approx(experts / 4, rel=0.01), "one token has two of eight experts"


def test_a_decode_step_reads_the_cache_of_all_rows():
    short, far = (step_parts(CONFIG, Load(64, 64, context, prefill=False), 2) for context in (0, 100))
    assert far[CACHE].bytes - short[CACHE].bytes == 6400 * bytes_per_token(CONFIG, torch.bfloat16, 1)
    assert far[CACHE].operations == 8 * 4 * 6400 * 512
    assert far[EXPERTS] == short[EXPERTS]


def test_operations_of_a_token_are_two_for_each_weight_that_it_meets():
    parts = step_parts(CONFIG, Load(100, 3, 50, prefill=True), 4)
    assert parts[EXPERTS].operations == 8 * 100 * 2 * 2 * 3 * 512 * 1792
    assert parts[PROJECTIONS].operations == 8 * 100 * 2 * 512 * (512 + 256 + 512)
    assert parts[HEAD].operations == 3 * 2 * 512 * 32000
    assert set(parts) == {PROJECTIONS, CACHE, ROUTER, EXPERTS, NORMS, RESIDUALS, HEAD}


def test_what_runs_within_a_part_counts_for_itself(monkeypatch):
    times = iter([0.0, 1.0, 3.0, 6.0, 10.0])
    monkeypatch.setattr("benchmarks.nested_clocks._now", lambda: next(times))
    clocks = NestedClocks()
    clocks.start("outer")
    clocks.start("inner")
    clocks.rename("inner", until_now="first")
    clocks.stop()
    clocks.stop()
    assert clocks.seconds == {"outer": 1.0 + 4.0, "first": 2.0, "inner": 3.0}


def test_the_program_prints_both_tables(capsys):
    sizes = ["--size", "tiny", "--rows", "3", "--context", "12", "--prompt", "64", "--steps", "2"]
    roofline.main([*sizes, "--threads", "1", "--dtype", "float32"])
    printed = capsys.readouterr().out
    assert "A decode step: 3 rows, 12 tokens each in the cache" in printed
    assert "Prefilling 64 prompts of 64 tokens" in printed
    lines = [line.split("|") for line in printed.splitlines() if line.startswith("| ")]
    measured = {cells[1].strip(): cells[5] for cells in lines if cells[1] != " part "}
    assert float(measured[EXPERTS]) > 0
    assert {name for name, cell in measured.items() if "another" in cell} <= {RESIDUALS, ROUTER, NORMS}
