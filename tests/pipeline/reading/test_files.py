import gzip
import os
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.reading.files import expand
from pipeline.shards.make_plan import make_plan
from tests.pipeline.reading.inputs import lines, names, section, write, write_parquet


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


def test_names_keep_the_columns_of_the_folders_that_all_files_share(tmp_path: Path) -> None:
    """So that one partition gives the same names, ids and columns as all of them."""
    for name in ("data/year=1/lang=de/a.jsonl", "data/year=1/lang=fr/a.jsonl", "data/year=1/x/a.jsonl"):
        write(tmp_path / name, lines(1))
    whole = ["year=1/lang=de/a.jsonl", "year=1/lang=fr/a.jsonl", "year=1/x/a.jsonl"]
    assert names(make_plan(section(f"{tmp_path}/data"))) == whole
    assert names(make_plan(section(f"{tmp_path}/data/year=1"))) == whole
    assert names(make_plan(section(f"{tmp_path}/data/year=1/lang=de"))) == whole[:1]
    assert names(make_plan(section(f"{tmp_path}/data/year=1/lang=de/a.jsonl"))) == whole[:1]
    assert names(make_plan(section(f"{tmp_path}/data/*/lang=*/a.jsonl"))) == whole[:2]
    assert names(make_plan(section(f"{tmp_path}/data/year=1/x"))) == ["a.jsonl"], "its values would change"


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
        ("x" * 300, "File name too long"),
    ],
)
def test_paths_that_lead_nowhere_are_named(tmp_path: Path, path: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "notes.txt", b"")
    write(tmp_path / "bad.parquet", b"PAR1 not really")
    write(tmp_path / "array.json", b'[\n {"text": "a"}\n]\n')
    with pytest.raises(ConfigError, match=message):
        make_plan(section(path if "://" in path else f"{tmp_path}/{path}"))


def test_a_file_with_two_names_is_read_once_and_the_other_name_is_told(tmp_path: Path) -> None:
    write(tmp_path / "in/b.jsonl", lines(2))
    write(tmp_path / "blobs/feed", lines(1))
    (tmp_path / "in/A.jsonl").symlink_to("b.jsonl")
    (tmp_path / "in/y.jsonl").symlink_to("../blobs/feed")
    (tmp_path / "in/z.jsonl").symlink_to("../blobs/feed")
    plan = make_plan(section(f"{tmp_path}/in"))
    assert (names(plan), plan.rows) == (["b.jsonl", "y.jsonl"], 3), "a file's own name goes first"
    assert str(expand(section(f"{tmp_path}/in")).not_taken) == (
        "A.jsonl (read as b.jsonl), z.jsonl (read as y.jsonl): a second name of what is read once"
    )
    both = make_plan(section([f"{tmp_path}/in/b.jsonl", f"{tmp_path}/in/../in/b.jsonl"]))
    assert (names(both), both.rows) == (["b.jsonl"], 2)
    assert [file.size for file in plan.files] == [len(lines(2)), len(lines(1))], "not the links'"


def test_a_planned_name_stays_the_name_of_its_file(tmp_path: Path) -> None:
    """Whatever other names the file gets later: the plan would not know it under them."""
    write(tmp_path / "blobs/feed", lines(1))
    write(tmp_path / "blobs/deep/beef.jsonl", lines(1))
    (tmp_path / "in").mkdir()
    (tmp_path / "in/m.jsonl").symlink_to("../blobs/feed")
    (tmp_path / "in/n").symlink_to("../blobs/deep")
    given = section(f"{tmp_path}/in")
    before = make_plan(given)
    assert names(before) == ["m.jsonl", "n/beef.jsonl"]
    (tmp_path / "in/a.jsonl").symlink_to("../blobs/feed")
    (tmp_path / "in/b").symlink_to("../blobs/deep")
    today = before.check(expand(given, names(before)), before.shards)
    assert (list(today.paths), today.new, today.missing) == (names(before), [], [])
    (tmp_path / "blobs/feed").write_bytes(lines(2))
    with pytest.raises(ConfigError, match=r"changed: m\.jsonl"):
        before.check(expand(given, names(before)), before.shards)
    (tmp_path / "in/n").unlink()
    with pytest.raises(ConfigError, match=r"missing: n/beef\.jsonl"):
        before.check(expand(given, names(before)), before.shards)


def test_a_name_that_is_not_utf_8_is_refused_unless_nothing_is_read_of_it(tmp_path: Path) -> None:
    write(tmp_path / "in/a.jsonl", lines(1))
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/in/caf\xe9.txt")).write_bytes(b"")
    plan = make_plan(section(f"{tmp_path}/in"))
    assert names(plan) == ["a.jsonl"]
    assert str(expand(section(f"{tmp_path}/in")).not_taken).startswith("caf\\xe9.txt: ")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/in/caf\xe9.jsonl")).write_bytes(lines(1))
    with pytest.raises(ConfigError, match=r"caf\\xe9\.jsonl: its name is not UTF-8; rename it"):
        make_plan(section(f"{tmp_path}/in"))
