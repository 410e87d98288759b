import pytest

from pipeline.reading.formats import compression, endings, format_by_name


@pytest.mark.parametrize(
    ("name", "format", "packed"),
    [
        ("a.jsonl", "jsonl", None),
        ("A.JSONL", "jsonl", None),
        ("a.json.gz", "jsonl", "gzip"),
        ("a.NDJSON.Zst", "jsonl", "zstd"),
        ("a.jsonl.bz2", "jsonl", "bzip2"),
        ("a.jsonl.XZ", "jsonl", "xz"),
        ("a.Parquet", "parquet", None),
        ("a.parquet.gz", None, "gzip"),
        ("a.gz", None, "gzip"),
        ("jsonl", None, None),
        ("x.jsonl/y", None, None),
    ],
)
def test_a_name_tells_format_and_compression(name: str, format: str | None, packed: str | None) -> None:
    assert (format_by_name(name), compression(name)) == (format, packed)


def test_the_endings_are_told_by_format() -> None:
    assert endings("parquet") == "*.parquet"
    assert endings("jsonl") == "*.jsonl, *.json, *.ndjson (also .gz, .zst, .bz2, .xz)"
    assert endings("auto") == f"{endings('jsonl')} or {endings('parquet')}"
