"""A shard's raw rows become prompts with ids, groups and parameters, or errors that quote nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config.job import JobConfig
from pipeline.preflight.job import check_job
from pipeline.rows.prepare import MISSING_GROUP, NO_GROUP, PREPARED
from pipeline.shards.carried_shard import CarriedShard, name_shard
from pipeline.shards.make_plan import make_plan

MakeConfig = Callable[..., JobConfig]


def prepared(config: JobConfig, shard_number: int = 0) -> list[dict[str, Any]]:
    """The rows of a shard, by way of the block in which Ray Data carries it."""
    job = check_job(config)
    shard = make_plan(job.config.input).shards[shard_number]
    block = CarriedShard.unpacked(job.preparation(name_shard(shard)))
    assert block.rows.schema.names[: len(PREPARED)] == PREPARED.names
    assert block.rows.equals(job.preparation.prepared(shard))
    rows: list[dict[str, Any]] = block.rows.to_pylist()
    return rows


def test_ids_groups_and_kept_columns_come_from_the_row(make_config: MakeConfig) -> None:
    rows = [{"ids": [5, 6], "name": 7, "lang": "de", "n": 1}, {"ids": [5], "name": "b", "lang": None, "n": 2}]
    config = make_config(rows, input={"id_column": "name", "group_by": "lang", "keep": ["n"]})
    first, second = prepared(config)
    assert (first["id"], first["group"], first["keep.n"], first["keep.kept_unfit"]) == ("7", "de", 1, None)
    assert (second["id"], second["group"]) == ("b", MISSING_GROUP)
    assert (first["file"], first["row"], first["prompt_token_ids"]) == ("rows.jsonl", 0, [5, 6])


def test_all_columns_may_be_kept_and_some_renamed(make_config: MakeConfig) -> None:
    rows = [{"ids": [5], "id": "a", "text": "x", "n": 1}]
    keep = {"*": "*", "row_text": "text"}
    [row] = prepared(make_config(rows, input={"id_column": "id", "keep": keep}))
    assert {name: value for name, value in row.items() if name.startswith("keep.")} == {
        "keep.ids": [5], "keep.n": 1, "keep.row_text": "x", "keep.kept_unfit": None
    }  # fmt: skip


def test_numbers_of_32_bits_are_those_that_were_written(make_config: MakeConfig, tmp_path: Path) -> None:
    tenth = pa.array([0.1], pa.float32())
    columns = {"p": tenth, "vector": pa.array([[0.7]], pa.list_(pa.float32())), "temperature": tenth}
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    config = make_config(
        [],
        input={
            "path": str(tmp_path / "rows.parquet"),
            "prompt": {"template": "{{ p }} {{ vector }}"},
            "keep": {"text_of_p": "p", "p": "p"},
            "keep_types": {"text_of_p": "string"},
            "group_by": "p",
        },
        generation={"columns": ["temperature"]},
        output={"path": str(tmp_path / "out"), "include": ["prompt"]},
    )
    [row] = prepared(config)
    assert (row["prompt"], row["keep.text_of_p"], row["group"]) == ("0.1 [0.7]", "0.1", "0.1")
    assert json.loads(row["params"])["temperature"] == 0.1
    assert row["keep.p"] == tenth[0].as_py()  # 32 bits, as they were


def test_without_columns_for_them_ids_are_places_and_all_is_one_group(make_config: MakeConfig) -> None:
    [row] = prepared(make_config([{"ids": [5]}]))
    assert (row["id"], row["group"]) == ("rows.jsonl#0", NO_GROUP)


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_columns_of_folders_are_those_of_rows(make_config: MakeConfig, tmp_path: Path, form: str) -> None:
    """In the template, as id, as group and kept; a column of the file goes before."""
    rows = [{"text": "Hi", "own": "file"}]
    for lang in ("de", "a%2Fb", "__HIVE_DEFAULT_PARTITION__"):
        folder = tmp_path / "in" / f"lang={lang}" / "own=folder" / "n=07"
        folder.mkdir(parents=True)
        if form == "jsonl":
            (folder / "a.jsonl").write_text(json.dumps(rows[0]) + "\n\n")
        else:
            pq.write_table(pa.Table.from_pylist(rows), folder / "a.parquet")
    config = make_config(
        [],
        prompt={"template": "{{ lang or '-' }} {{ own }} {{ row['n'] }} {{ row.items() | list | length }}\n"},
        input={
            "path": str(tmp_path / "in"),
            "id_column": "n",
            "group_by": "lang",
            "keep": ["lang", "own", "n"],
        },
        output={"path": "o", "include": ["prompt"]},
    )
    found = {row["group"]: row for shard in range(3) for row in prepared(config, shard)}
    assert {group: row["prompt"] for group, row in found.items()} == {
        "de": "de file 07 4\n", "a/b": "a/b file 07 4\n", MISSING_GROUP: "- file 07 4\n",
    }  # fmt: skip
    assert {row["id"] for row in found.values()} == {"07"}
    kept = {(row["keep.lang"], row["keep.own"], row["keep.n"]) for row in found.values()}
    assert kept == {("de", "file", "07"), ("a/b", "file", "07"), (None, "file", "07")}
    assert {row["file"].split("/")[0] for row in found.values()} >= {"lang=de"}


def test_an_id_is_text_and_the_kept_column_has_its_type(make_config: MakeConfig) -> None:
    rows = [{"ids": [5], "key": 1}, {"ids": [5], "key": 2}]
    [first, _] = prepared(make_config(rows, input={"id_column": "key", "keep": ["key"]}))
    assert (first["id"], first["keep.key"]) == ("1", 1)


def test_a_row_that_fails_keeps_what_was_found_before(make_config: MakeConfig) -> None:
    rows = [
        {"ids": "no list", "name": "a", "lang": "fr"},
        {"ids": [1], "name": 1.5, "lang": "fr"},
        {"ids": [3] * 300, "name": "c", "lang": "fr"},
        "{broken",
    ]
    config = make_config(rows, input={"id_column": "name", "group_by": "lang"})
    found = [(row["id"], row["group"], row["error_code"]) for row in prepared(config)]
    assert found == [
        ("a", "fr", "WRONG_TYPE"),
        ("rows.jsonl#1", "fr", "WRONG_TYPE"),
        ("c", "fr", "PROMPT_TOO_LONG"),
        ("rows.jsonl#3", MISSING_GROUP, "MALFORMED_JSON"),
    ]
    assert all(row["prompt_token_ids"] is None for row in prepared(config))


def test_the_tasks_parameters_are_made_here(make_config: MakeConfig) -> None:
    rows = [{"ids": [5] * 250, "max_new_tokens": 50}, {"ids": [5]}]
    config = make_config(rows, generation={"max_new_tokens": 9, "columns": ["max_new_tokens"]})
    lengths = [json.loads(row["params"])["max_new_tokens"] for row in prepared(config)]
    assert lengths == [7, 9], "256 places, of which the last token takes none"


def test_the_prompts_text_is_there_where_the_job_includes_it(make_config: MakeConfig) -> None:
    config = make_config(
        [{"text": "Hello"}],
        prompt={"template": "Say: {{ text }}"},
        output={"path": "o", "include": ["prompt"]},
    )
    [row] = prepared(config)
    assert row["prompt"] == "Say: Hello"
    assert pa.types.is_string(PREPARED.field("prompt").type)


def test_a_row_without_its_id_names_the_column(make_config: MakeConfig) -> None:
    rows = [{"ids": [1], "name": "a"}, {"ids": [1]}, {"ids": [1], "name": None}]
    _, missing, null = prepared(make_config(rows, input={"id_column": "name"}))
    assert (missing["error_code"], missing["error_message"]) == (
        "MISSING_COLUMN",
        "this row has no column name",
    )
    assert (null["error_code"], null["id"]) == ("WRONG_TYPE", "rows.jsonl#2")
