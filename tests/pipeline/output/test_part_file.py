"""A part's footer says what its rows are, and is read without them."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.durable.commit import RouterTable
from pipeline.output.part_file import part_bytes, read_footer
from pipeline.reporting.summary import ShardSummary
from pipeline.storage.sealed_parquet import sealed_bytes

PATH = "generations/part-000007-feed.parquet"
SUMMARY = ShardSummary(1000, {"EMPTY_LINE": 2}, 42, 7, 3, 1)


@pytest.mark.parametrize("router", [RouterTable("_job/router/a.parquet", "ab" * 32), None])
def test_the_footer_gives_back_what_the_part_was_made_with(router: RouterTable | None) -> None:
    rows = pa.table({"id": [str(row) for row in range(1000)]})
    part = part_bytes(PATH, rows, SUMMARY, router)
    assert read_footer(PATH, io.BytesIO(part)) == (SUMMARY, router)
    assert pq.read_table(io.BytesIO(part)).replace_schema_metadata(None).equals(rows)


def test_metadata_that_the_rows_came_with_is_not_published() -> None:
    plain = pa.table({"id": ["a", "b"]})
    carried = plain.replace_schema_metadata({"of": "an input file"})
    assert part_bytes(PATH, carried, SUMMARY, None) == part_bytes(PATH, plain, SUMMARY, None)


def test_reading_the_footer_reads_little_of_a_part() -> None:
    class Counted(io.BytesIO):
        read_bytes = 0

        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            self.read_bytes += len(data)
            return data

    rows = pa.table({"text": [f"{row * 7919:x}" * 9 for row in range(100_000)]})
    part = Counted(part_bytes(PATH, rows, SUMMARY, None))
    read_footer(PATH, part)
    assert part.read_bytes < len(part.getvalue()) // 2


def test_what_is_not_the_part_of_that_path_is_told_in_a_sentence() -> None:
    rows = pa.table({"id": ["a"]})
    other = part_bytes("generations/part-000007-beef.parquet", rows, SUMMARY, None)
    foreign = io.BytesIO()
    pq.write_table(rows, foreign)
    for data, told in (
        (b"", "cut, or it is no sound Parquet file"),
        (other[:-5], "cut, or it is no sound Parquet file"),
        (foreign.getvalue(), "no part of mixtray"),
        (sealed_bytes(rows), "no part of mixtray"),
        (other, "it was written as generations/part-000007-beef"),
    ):
        with pytest.raises(ValueError, match=told):
            read_footer(PATH, io.BytesIO(data))
