"""Files are found, their columns checked, and their rows cut into shards."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.job import InputSection
from pipeline.errors import ConfigError
from pipeline.reading import compressed
from pipeline.reading.columns import columns_to_read
from pipeline.reading.streams import cut_at_lines
from pipeline.shards.make_plan import make_plan
from pipeline.shards.plan import Plan


def section(path: Any, **keys: Any) -> InputSection:
    return InputSection.model_validate({"path": path, "prompt": {"column": "text"}, **keys})


def lines(count: int, **extra: Any) -> bytes:
    return b"".join(json.dumps({"text": f"row {n}", **extra}).encode() + b"\n" for n in range(count))


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def write_parquet(path: Path, rows: int, group: int, **columns: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"text": [f"row {n}" for n in range(rows)], **columns})
    pq.write_table(table, path, row_group_size=group)
    return path


def names(plan: Plan) -> list[str]:
    return [file.name for file in plan.files]


def test_a_folder_is_read_recursively_without_hidden_files(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.json", "deep/er/c.ndjson.gz", ".hidden.jsonl", "_tmp/d.jsonl", "readme.md"):
        data = lines(3)
        write(tmp_path / name, gzip.compress(data) if name.endswith("gz") else data)
    write_parquet(tmp_path / "p.parquet", 3, 3)
    plan = make_plan(section(str(tmp_path)))
    assert names(plan) == ["a.json", "b.jsonl", "deep/er/c.ndjson.gz", "p.parquet"]
    assert plan.rows == 12
    assert names(make_plan(section(str(tmp_path), format="parquet"))) == ["p.parquet"]


def test_globs_and_lists_keep_names_relative_to_what_they_share(tmp_path: Path) -> None:
    for name in ("en/1.jsonl", "en/2.jsonl", "de/1.jsonl"):
        write(tmp_path / name, lines(1))
    assert names(make_plan(section(f"{tmp_path}/*/1.jsonl"))) == ["de/1.jsonl", "en/1.jsonl"]
    both = [f"{tmp_path}/en/*.jsonl", f"{tmp_path}/de/1.jsonl", f"{tmp_path}/en/1.jsonl"]
    assert names(make_plan(section(both))) == ["de/1.jsonl", "en/1.jsonl", "en/2.jsonl"]
    assert names(make_plan(section(f"{tmp_path}/en/1.jsonl"))) == ["1.jsonl"]


def test_a_name_with_glob_characters_is_still_a_name(tmp_path: Path) -> None:
    write(tmp_path / "a[1].jsonl", lines(2))
    assert make_plan(section(f"{tmp_path}/a[1].jsonl")).rows == 2


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nothing.jsonl", "nothing.jsonl: no such file"),
        ("*.jsonl", r"\*.jsonl: no file has such a name"),
        ("empty", "empty: no \\*.jsonl"),
        ("notes.txt", "notes.txt: the name does not tell the format"),
        ("bad.parquet", "bad.parquet: not a Parquet file"),
        ("array.json", "array.json: this is a JSON array"),
        ("no-such-kind://x/y", "no such kind"),
    ],
)
def test_paths_that_lead_nowhere_are_named(tmp_path: Path, path: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "notes.txt", b"")
    write(tmp_path / "bad.parquet", b"PAR1 not really")
    write(tmp_path / "array.json", b'[\n {"text": "a"}\n]\n')
    with pytest.raises(ConfigError, match=message):
        make_plan(section(path if "://" in path else f"{tmp_path}/{path}"))


def test_missing_columns_are_named_with_those_that_there_are(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", b"not json\n" + lines(3, language="en"))
    with pytest.raises(ConfigError, match=r"input.keep: no column 'lang' in a.jsonl.*'text', 'language'"):
        make_plan(section(str(tmp_path), keep=["lang"]))
    with pytest.raises(ConfigError, match=r"input.prompt.template: no column 'body'"):
        make_plan(section(str(tmp_path), prompt={"template": "{{ body }} {{ text }}"}))
    write_parquet(tmp_path / "z.parquet", 3, 3)
    with pytest.raises(ConfigError, match=r"input.group_by: no column 'language' in z.parquet"):
        make_plan(section(str(tmp_path), group_by="language"))


def test_a_column_that_only_some_lines_have_is_there(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", lines(3) + b'{"text": "x", "id": 1}\n')
    assert make_plan(section(str(tmp_path), id_column="id")).rows == 4


def test_input_without_a_good_line_is_rows_all_the_same(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", b"bad\n\n\xff\n")
    assert make_plan(section(str(tmp_path))).rows == 3


def test_kept_columns_have_one_type_in_all_parquet_files(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", 2, 2, n=[1, 2])
    write_parquet(tmp_path / "b.parquet", 2, 2, n=["1", "2"])
    make_plan(section(str(tmp_path)))
    with pytest.raises(ConfigError, match=r"'n' is int64 in a.parquet but string in b.parquet"):
        make_plan(section(str(tmp_path), keep=["n"]))


def test_columns_to_read_are_the_needed_ones_and_generation_parameters() -> None:
    columns = columns_to_read(section("x", keep=["k", "text"], id_column="i", group_by="g"))
    assert columns[:4] == ["text", "i", "k", "g"]
    assert "temperature" in columns


def test_parquet_shards_are_row_groups_or_slices_of_large_ones(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", 10, 3)
    whole = make_plan(section(str(tmp_path), shard_rows=7)).shards
    assert [(s.first_row, s.rows, s.start, s.end, s.skip) for s in whole] == [
        (0, 6, 0, 2, 0),
        (6, 4, 2, 4, 0),
    ]
    cut = make_plan(section(str(tmp_path), shard_rows=2)).shards
    assert [(s.first_row, s.rows, s.start, s.end, s.skip) for s in cut] == [
        (0, 2, 0, 1, 0), (2, 1, 0, 1, 2), (3, 2, 1, 2, 0), (5, 1, 1, 2, 2),
        (6, 2, 2, 3, 0), (8, 1, 2, 3, 2), (9, 1, 3, 4, 0),
    ]  # fmt: skip


def test_jobs_have_no_shard_in_common(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", lines(25))
    one, other = (
        {shard.id for shard in make_plan(section(str(tmp_path), shard_rows=10), job_digest=job).shards}
        for job in ("one", "other")
    )
    assert len(one) == len(other) == 3
    assert one.isdisjoint(other)


def test_ids_follow_the_content_not_the_place(tmp_path: Path) -> None:
    ids = []
    for folder in ("one", "two"):
        path = write(tmp_path / folder / "a.jsonl", lines(5))
        os.utime(path, (1e9, 1e9))
        ids.append([shard.id for shard in make_plan(section(str(path))).shards])
    assert ids[0] == ids[1]


def test_bombs_are_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressed, "RATIO_FREE", 1 << 20)
    write(tmp_path / "bomb.jsonl.gz", gzip.compress(lines(1) + b"\n" * (4 << 20)))
    with pytest.raises(ConfigError, match=r"bomb.jsonl.gz: grows more than 500-fold"):
        make_plan(section(str(tmp_path)))


@given(st.binary(max_size=60).map(lambda data: data.replace(b"\x00", b"\n")), st.integers(1, 7), st.data())
def test_cuts_are_whole_lines_within_limits_however_the_chunks_fall(
    data: bytes, shard_rows: int, draw: st.DataObject
) -> None:
    borders = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=6)))
    chunks = [data[a:b] for a, b in zip([0, *borders], [*borders, len(data)], strict=True)]
    shard_bytes = draw.draw(st.integers(1, 80))
    cuts = list(cut_at_lines(iter(chunks), shard_rows, shard_bytes))
    assert cuts == list(cut_at_lines(iter([data]), shard_rows, shard_bytes))
    assert sum(rows for _, _, rows, _ in cuts) == data.count(b"\n") + (data[-1:] not in (b"", b"\n"))
    position = 0
    for start, end, rows, broken in cuts:
        assert start == position
        assert data[end - 1 : end] == b"\n" or end == len(data)
        assert data[start:end].removesuffix(b"\n").count(b"\n") + 1 == rows <= shard_rows
        assert end - start <= shard_bytes or rows == 1
        assert not broken
        position = end
    assert position == len(data)
