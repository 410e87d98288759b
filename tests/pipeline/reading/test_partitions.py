"""Columns of folders: their values are what pyarrow reads of the same names."""

from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from pipeline.reading.partitions import is_partition, partition_columns, with_partitions


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("lang=de/part-0.parquet", {"lang": "de"}),
        ("year=2024/month=01/x/a.jsonl", {"year": "2024", "month": "01"}),
        ("q=a%2Fb%20c%3D/a.jsonl", {"q": "a/b c="}),
        ("q=a=b/a.jsonl", {"q": "a=b"}),
        ("q=__HIVE_DEFAULT_PARTITION__/a.jsonl", {"q": None}),
        ("q=/a.jsonl", {"q": ""}),
        ("lang=de.parquet", {}),
        ("=de/plain/a.parquet", {}),
        ("q=1/q=2/a.jsonl", {"q": "2"}),
        ("user%20id=7/a.jsonl", {"user id": "7"}),
        ("q=a+b/a.jsonl", {"q": "a+b"}),
    ],
)
def test_columns_of_a_name(name: str, columns: dict[str, str | None]) -> None:
    assert partition_columns(name) == columns
    assert any(map(is_partition, name.split("/")[:-1])) == bool(columns)


def test_what_pyarrow_wrote_and_reads(tmp_path: Path) -> None:
    values = ["de", "a/b", "ü 1", "x=y", "100%", None, "07"]
    table = pa.table({"text": [f"t{n}" for n in range(len(values))], "lang": pa.array(values, pa.string())})
    pq.write_to_dataset(table, tmp_path, partition_cols=["lang"])
    schema = pa.schema([("lang", pa.string())])
    theirs = ds.dataset(tmp_path, partitioning=ds.partitioning(schema, flavor="hive")).to_table()
    expected = dict(zip(theirs["text"].to_pylist(), theirs["lang"].to_pylist(), strict=True))
    assert set(expected.values()) == {*values}
    for file in tmp_path.glob("*/*.parquet"):
        [text] = pq.ParquetFile(file).read()["text"].to_pylist()
        assert partition_columns(str(file.relative_to(tmp_path))) == {"lang": expected[text]}


def test_a_column_of_the_file_goes_before() -> None:
    schema = pa.schema([("lang", pa.int64()), ("text", pa.string())])
    assert with_partitions(schema, "lang=de/year=1/a.parquet") == schema.append(pa.field("year", pa.string()))
