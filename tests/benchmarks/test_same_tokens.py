"""A row that differs from transformers' is named, with how nearly it does."""

from dataclasses import asdict, replace

import pytest
import torch

from benchmarks import transformers_peer as peer
from benchmarks.contender import Result
from benchmarks.ours import Breakdown
from benchmarks.same_tokens import Difference, first_difference, same_tokens
from benchmarks.workload import Workload
from jobs.bench.show_engine import show

WORKLOAD = Workload("small", [[5, 6, 7], [8, 9, 10, 11]], [4, 4])


@pytest.fixture(scope="module")
def model(folder):
    torch.set_num_threads(1)
    return peer.load(folder)


def result(name, token_ids):
    return Result(name, 1.0, 1.0, 1.0, 1, token_ids, None, None)


def test_a_token_of_another_kind_is_no_near_tie(folder, model):
    expected = peer.generate_static(model, WORKLOAD, 2)
    other = [expected[0], [*expected[1][:2], (expected[1][2] + 1) % 256, expected[1][3]]]
    results = {
        "mixtray": [result("mixtray", expected)],
        "mixtray int8": [result("mixtray int8", other)],
        "hf static 2": [result("hf static 2", expected)],
        "vllm": [result("vllm", other)],
    }
    found = same_tokens(WORKLOAD, results, str(folder), 1, torch.float32)
    assert list(found) == ["mixtray", "hf static 2", "vllm"]
    assert found["mixtray"] == {"rows": 2, "same": 2, "differences": []}
    [difference] = found["vllm"].pop("differences")
    assert found["vllm"] == {"rows": 2, "same": 1}
    with torch.inference_mode():
        logits = model(torch.tensor([WORKLOAD.prompts[1] + expected[1][:2]])).logits[0, -1]
    apart = float(logits.max() - logits[other[1][2]])
    assert difference["tokens_apart"] == pytest.approx(apart, abs=1e-5)
    assert (difference["row"], difference["token"], difference["near_tie"]) == (1, 2, False)
    assert difference["experts_apart"] > 0
    assert same_tokens(WORKLOAD, results, str(folder), 1, torch.bfloat16)["vllm"] == {"rows": 2, "same": 1}


def test_without_transformers_there_is_nothing_to_compare(folder):
    alone = {"mixtray": [result("mixtray", [[1], [2]])]}
    assert same_tokens(WORKLOAD, alone, str(folder), 1, torch.float32) == {}


def test_a_tie_is_of_tokens_or_of_experts():
    far = Difference(0, 0, tokens_apart=0.1, experts_apart=0.1)
    assert not far.near_tie
    assert replace(far, tokens_apart=1e-6).near_tie
    assert replace(far, experts_apart=1e-7).near_tie
    assert not replace(far, experts_apart=None).near_tie


def test_rows_of_other_lengths_are_no_rows_to_compare():
    assert first_difference([1, 2], [1, 2]) is None
    assert first_difference([1, 2], [1, 3]) == 1
    with pytest.raises(ValueError, match="shorter"):
        first_difference([1, 2], [1])


def test_what_is_shown(capsys):
    difference = {"row": 1, "token": 2, "tokens_apart": 3e-6, "experts_apart": 0.01, "near_tie": True}
    contender = {
        "output_a_second": 1.0, "total_a_second": 1.0, "seconds": 1.0, "times_slower_than_ours": 1.0,
        "times_more_cpu_than_ours": 1.0, "of_floor": 0.5, "rows_equal_to_ours": 2, "peak_bytes": 10,
        "breakdown": asdict(Breakdown(1.0, {"experts": 0.75, "rest": 0.25}, 64, 0.5)),
        "note": "vLLM [0.32.0]",
        "steps": {"during": {"count": 2, "median_seconds": 0.01, "longest_seconds": 0.5}},
    }  # fmt: skip
    measured = {
        "rows": 2, "unit": "rows", "contenders": {"vllm": contender}, "left_out": [], "failed": {},
        "transformers_tokens": {"vllm": {"rows": 2, "same": 1, "differences": [difference]}},
    }  # fmt: skip
    show("small", measured)
    printed = capsys.readouterr().out
    assert "vllm: vLLM [0.32.0]" in printed
    assert "vllm: experts 75%, rest 25%; 64 steps, 50% of the rows decode" in printed
    assert "during the late prompt 2 steps, median 10.0 ms, longest 500.0 ms" in printed
    assert "vllm: 1 of 2 rows have transformers' tokens; row 1 differs from token 2 on, a near-tie" in printed
