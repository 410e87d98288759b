"""A dry run: what is to do, how long prompts are and which rows are bad, with nothing written."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError
from pipeline.preflight import forecast as forecasts
from pipeline.preflight.forecast import forecast

MakeConfig = Callable[..., JobConfig]


def test_files_shards_rows_lengths_and_errors(make_config: MakeConfig) -> None:
    rows = [*({"ids": [1] * length} for length in (1, 2, 3, 5, 5, 9, 200)), "broken", {"ids": []}]
    config = make_config(rows, input={"shard_rows": 4})
    found = forecast(config)
    assert [(file.name, file.shards, file.rows) for file in found.files] == [("rows.jsonl", 3, 9)]
    assert (found.shards, found.rows, found.shards_missing, found.rows_missing) == (3, 9, 3, 9)
    assert [(one.code, one.rows, one.row) for one in found.errors] == [
        ("MALFORMED_JSON", 1, 7),
        ("EMPTY_PROMPT", 1, 8),
    ]
    assert (found.sampled, found.all_bad, found.notices) == (9, False, [])
    assert found.mean_tokens == pytest.approx((1 + 2 + 3 + 5 + 5 + 9 + 200) / 7)
    counts = {
        (1, 1): 1,
        (2, 3): 2,
        (4, 7): 2,
        (8, 15): 1,
        (16, 31): 0,
        (32, 63): 0,
        (64, 127): 0,
        (128, 255): 1,
    }
    assert found.lengths == counts
    assert not Path(config.output.path).exists(), "nothing is written"


def test_rows_of_one_id_are_counted_among_those_looked_at(make_config: MakeConfig) -> None:
    rows = [{"ids": [1], "key": key} for key in (1, "1", "a", 2, "2", "2")]
    assert forecast(make_config(rows, input={"id_column": "key"})).duplicate_ids == 3
    assert forecast(make_config(rows)).duplicate_ids == 0


def test_of_many_shards_some_are_looked_at(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecasts, "_SAMPLED_ROWS", 10)
    found = forecast(make_config([{"ids": [1]}] * 100, input={"shard_rows": 5}))
    assert (found.shards, found.sampled) == (20, 10)


def test_a_job_that_could_not_run_is_refused(make_config: MakeConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"input\.id_column: no column 'name' in rows\.jsonl"):
        forecast(make_config([{"ids": [1]}], input={"id_column": "name"}))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"input\.path"):
        forecast(make_config([], input={"path": str(tmp_path / "empty")}))


def test_bad_rows_alone_have_no_lengths(make_config: MakeConfig) -> None:
    found = forecast(make_config([json.dumps(5)] * 2), show=1)
    assert (found.lengths, found.mean_tokens, found.shown) == ({}, 0.0, [])
    assert (found.errors[0].code, found.errors[0].rows, found.all_bad) == ("NOT_AN_OBJECT", 2, True)


def test_facts_of_the_checkpoint_of_the_choices_and_of_computing(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    label = {"choices": {f"c{i}": f"{i:04d}" for i in range(2000)}}
    sections = {"task": "label", "label": label, "output": {"path": str(tmp_path / "out")}}
    config = make_config([{"text": "Hi"}], prompt={"column": "text"}, input={"chat": False}, **sections)
    facts = dict(forecast(config).facts)
    assert facts["format"] == "plain text, without a chat format"
    assert facts["end ids"] == "</s> (2)"
    # each digit is a token, and choices that begin alike share it; the first is 0 or 1
    tokens = 2 + 20 + 200 + 2000
    assert facts["choices"] == f"2,000, which take {tokens:,} tokens behind each prompt, in one pass"
    assert facts["computing"].startswith("float32 on ")
