"""Whole jobs on Ray, from a file of prompts to published tables, with transformers as the oracle."""

import json
import math
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
import torch

from pipeline.config.job import JobConfig
from pipeline.run import run
from pipeline.shards.plan import Plan
from pipeline.text.tokenization import Tokenizer
from tests.published import generations
from tests.random_prompts import random_prompts

pytestmark = pytest.mark.usefixtures("local_ray")

MakeConfig = Callable[..., JobConfig]
EXPERTS, LAYERS = 4, 3


@pytest.mark.parametrize("ranks", [1, 2])
def test_greedy_tokens_are_those_of_transformers(
    make_config: MakeConfig, checkpoint: Any, ranks: int
) -> None:
    rows = random_prompts(30)
    config = make_config(
        [{"ids": row} for row in rows],
        model={"path": str(checkpoint.folder), "tensor_parallel": ranks},
        generation={"max_new_tokens": 10, "logprobs": True},
    )
    report = run(config)
    table = generations(config)
    expected = [checkpoint.generate(row, 10) for row in rows]
    assert len({tuple(tokens) for tokens in expected}) > 25, "the model must not say the same to all"
    assert [list(tokens) for tokens in table["token_ids"]] == expected
    for row, tokens, logprobs in zip(rows, expected, table["token_logprobs"], strict=True):
        np.testing.assert_allclose(logprobs, checkpoint.logprobs(row, tokens), atol=1e-3)
    assert report.state == "done"
    assert report.rows_by_status == {"ok": 30, "error": 0}
    assert list(table["generated_tokens"]) == [len(tokens) for tokens in expected]
    [computed] = json.loads((Path(config.output.path) / "report.json").read_bytes())["computed"]
    assert (computed["rows"], computed["dtype"], computed["attention"]) == (30, "float32", "torch")
    assert computed["device"].endswith(torch.backends.cpu.get_cpu_capability())
    spec = json.loads((Path(config.output.path) / "_job/spec.json").read_bytes())
    assert spec["config"]["model"]["dtype"] == "float32", "auto is decided once"


def test_router_statistics_are_those_of_transformers(make_config: MakeConfig, checkpoint: Any) -> None:
    rows = random_prompts(20)
    groups = ["ab"[i % 2] for i in range(20)]
    config = make_config(
        [{"ids": row, "kind": group} for row, group in zip(rows, groups, strict=True)],
        input={"group_by": "kind"},
        generation={"max_new_tokens": 6},
    )
    run(config)
    table = generations(config)
    out = Path(config.output.path) / "router"
    experts, pairs, layers = (pd.read_parquet(out / f"{n}.parquet") for n in ("experts", "pairs", "layers"))

    expected = {
        name: np.zeros((LAYERS, EXPERTS), dtype=int)
        for name in ("a first", "a second", "b first", "b second")
    }
    for i, (row, tokens) in enumerate(zip(rows, table["token_ids"], strict=True)):
        fed = [*row, *map(int, tokens[:-1])]
        chosen = checkpoint.chosen(fed)  # [L, T, 2]
        phases = {"prefill": chosen[:, : len(row)], "decode": chosen[:, len(row) :]}
        for phase, part in phases.items():
            for rank, name in enumerate(("first", "second")):
                counts = np.stack([np.bincount(layer, minlength=EXPERTS) for layer in part[:, :, rank]])
                np.testing.assert_array_equal(
                    table[f"router_{phase}_{name}"][i].reshape(LAYERS, EXPERTS), counts
                )
                expected[f"{groups[i]} {name}"] += counts
    for key, counts in expected.items():
        group, name = key.split()
        of_group = experts[experts["group"] == group].pivot_table(name, "layer", "expert", aggfunc="sum")
        np.testing.assert_array_equal(of_group.to_numpy(), counts)

    by = ["group", "phase", "layer"]
    sums = experts.groupby(by)[["first", "second", "selected"]].sum()
    tokens = layers.set_index(by)["tokens"].sort_index()
    assert (sums["first"] == tokens).all()
    assert (sums["second"] == tokens).all()
    assert (sums["selected"] == 2 * tokens).all()
    assert (pairs.groupby(by)["count"].sum() == tokens).all()
    assert (layers["tokens_computed"] == layers["tokens"]).all()
    # The gates of a token's two choices sum to 1, in fixed point up to one rounding each.
    gates = experts.groupby(by)[["gate_first_q", "gate_second_q", "prob_q"]].sum()
    assert ((gates["gate_first_q"] + gates["gate_second_q"] - tokens * 2**16).abs() <= tokens).all()
    assert ((gates["prob_q"] - tokens * 2**16).abs() <= EXPERTS * tokens).all()


def test_label_probabilities_are_the_products_of_token_probabilities(
    make_config: MakeConfig, checkpoint: Any
) -> None:
    texts = ["It came broken.", "Where is it?", "Grüße, 你好", "x"]
    choices = {"yes": "yes", "no": "no, not at all", "maybe": "no, not at all events", "other": "perhaps"}
    config = make_config(
        [{"text": text, "gold": "yes"} for text in texts],
        task="label",
        prompt={"template": "Answer.\n{{ text }}"},
        input={"keep": ["gold"], "chat": False},
        label={"choices": choices, "known_column": "gold"},
        output={"path": make_config([]).output.path, "include": ["prompt", "prompt_token_ids"]},
    )
    report = run(config)
    table = generations(config)
    tokenizer = Tokenizer.load(checkpoint.folder)
    for row in table.itertuples():
        logprobs = {
            name: sum(checkpoint.logprobs(list(row.prompt_token_ids), [*tokenizer.encode(text), 2]))
            for name, text in choices.items()
        }
        expected = dict(zip(logprobs, torch.tensor(list(logprobs.values())).softmax(0).tolist(), strict=True))
        probs = {one["label"]: one["prob"] for one in row.label_probs}
        assert probs == pytest.approx(expected, abs=1e-5)
        assert [*probs] == [*choices]
        assert row.label_mass == pytest.approx(sum(map(math.exp, logprobs.values())), rel=1e-3)
        assert row.label == max(expected, key=expected.__getitem__)
        assert row.label_prob == pytest.approx(expected[row.label], abs=1e-5)
    assert report.label_accuracy == pytest.approx((table["label"] == "yes").mean())
    assert table["prompt"][0] == "Answer.\nIt came broken."


@pytest.mark.slow
def test_samples_depend_on_the_row_and_the_seed_alone(make_config: MakeConfig, tmp_path: Path) -> None:
    prompts = random_prompts(20)

    def sampled(folder: str, shard_rows: int, batch: int, seeds: list[int]) -> list[list[int]]:
        config = make_config(
            [{"ids": prompt, "seed": seed} for prompt, seed in zip(prompts, seeds, strict=True)],
            input={"shard_rows": shard_rows},
            engine={"max_batch_rows": batch},
            generation={"max_new_tokens": 8, "temperature": 1.0, "top_p": 0.95},
            output={"path": str(tmp_path / folder), "include": ["token_ids"]},
        )
        run(config)
        return [list(tokens) for tokens in generations(config)["token_ids"]]

    one = sampled("one", shard_rows=20, batch=64, seeds=[1] * 20)
    other = sampled("other", shard_rows=3, batch=2, seeds=[1, 2] * 10)
    assert other[::2] == one[::2]
    assert all(a != b for a, b in zip(other[1::2], one[1::2], strict=True))


def processes_of(title: str) -> list[int]:
    """Children of this process, near and far, with that title."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it may have ended by now
            found += [child.pid] if title in child.cmdline() else []
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_second_run_does_nothing_anew_and_a_third_only_what_is_missing(make_config: MakeConfig) -> None:
    config = make_config([{"ids": row} for row in random_prompts(30)], generation={"max_new_tokens": 2})
    run(config)
    out = Path(config.output.path)
    plan = Plan.from_parquet((out / "_job/plan-000.parquet").read_bytes())
    parts = {path: path.stat().st_mtime_ns for path in (out / "generations").iterdir()}
    assert len(parts) == len(plan.shards) == 4
    wait_until(lambda: not processes_of("ray::Coordinator"))

    rows = Path(config.input.path[0])
    whole = rows.read_bytes()
    rows.unlink()  # rotated away: a finished job needs it no more
    assert run(config).rows_this_run == 0
    assert {path: path.stat().st_mtime_ns for path in (out / "generations").iterdir()} == parts
    rows.write_bytes(whole)

    gone = sorted(parts)[1]
    gone.unlink()  # as if the first run had been killed before this commit
    (out / "_SUCCESS").unlink()
    assert run(config).rows_this_run == 8
    after = {path: path.stat().st_mtime_ns for path in (out / "generations").iterdir()}
    assert {p: t for p, t in after.items() if p != gone} == {p: t for p, t in parts.items() if p != gone}
    assert sorted(generations(config)["row"]) == list(range(30))
    success = json.loads((out / "_SUCCESS").read_text())
    assert success["rows"] == 30


def test_parquet_rows_keep_the_types_of_their_columns(make_config: MakeConfig, tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "chat": [[{"role": "user", "content": f"Question {i}"}] for i in range(25)],
            "when": pd.date_range("2026-01-01", periods=25),
            "score": np.arange(25) / 8,
            "key": np.arange(100, 125),
        }
    )
    frame.to_parquet(tmp_path / "rows.parquet", row_group_size=10)
    config = make_config(
        [],
        input={
            "path": str(tmp_path / "rows.parquet"),
            "prompt": {"messages": "chat"},
            "id_column": "key",
            "keep": ["when", "score"],
        },
        generation={"max_new_tokens": 2},
    )
    run(config)
    table = generations(config)
    assert list(table["id"]) == [str(key) for key in frame["key"]]
    assert list(table["score"]) == list(frame["score"])
    assert list(table["when"]) == list(frame["when"])
    assert (table["status"] == "ok").all()
