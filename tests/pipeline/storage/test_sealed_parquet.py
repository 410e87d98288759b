"""A file that tells whether it is whole: each flipped bit shows, and each cut."""

import hashlib
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.storage.sealed_parquet import read_metadata, read_table, sealed, sealed_bytes, whole_sha256

ROWS = pa.table({"id": ["mixtray.sha256\x18\x40" + "0" * 64, "b"], "n": [1, None]})
FILE = sealed_bytes(ROWS, {b"mixtray.part": b"a"})


def test_every_flipped_bit_and_every_cut_shows() -> None:
    assert whole_sha256(FILE) == hashlib.sha256(FILE).hexdigest()
    for bit in range(8 * len(FILE)):
        flipped = bytearray(FILE)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match=r"not those that were written|no file of mixtray"):
            whole_sha256(bytes(flipped))
    for length in range(len(FILE)):
        with pytest.raises(ValueError, match=r"^it(s bytes)? (is|was|are) "):
            whole_sha256(FILE[:length])
    with pytest.raises(ValueError, match="not those that were written"):
        whole_sha256(FILE + b"\0")


def test_it_is_a_plain_parquet_file_with_checksums_of_its_pages() -> None:
    """Other programs can check those as they read."""
    assert pq.read_table(io.BytesIO(FILE), page_checksum_verification=True).equals(ROWS)
    assert read_table(io.BytesIO(FILE), ["n"]).equals(ROWS.select(["n"]))
    assert read_metadata(io.BytesIO(FILE))[b"mixtray.part"] == b"a"
    rows = pa.table({"n": pa.array(range(1000))})
    large = bytearray(sealed_bytes(rows))
    large[1000] ^= 1
    with pytest.raises(OSError, match="CRC checksum"):
        pq.ParquetFile(io.BytesIO(large), page_checksum_verification=True).read(use_threads=False)
    with pytest.raises(ValueError, match="no sound Parquet file"):
        read_table(io.BytesIO(large))


def test_it_depends_on_the_rows_and_the_metadata_alone() -> None:
    carried = ROWS.replace_schema_metadata({"of": "an input file"})
    assert sealed_bytes(carried, {b"mixtray.part": b"a"}) == FILE
    assert sealed(bytearray(FILE)) == FILE
    assert whole_sha256(sealed(bytearray(FILE.replace(b"mixtray.part\x18\x01a", b"mixtray.part\x18\x01b"))))


@pytest.mark.parametrize("data", [b"", b"hello", FILE[:-9], b"PAR1" + bytes(100) + b"PAR1"])
def test_what_is_no_parquet_file_is_told_in_a_sentence(data: bytes) -> None:
    for read in (read_table, read_metadata):
        with pytest.raises(ValueError, match="no sound Parquet file"):
            read(io.BytesIO(data))


def test_an_error_of_the_storage_is_not_taken_for_damage() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        read_table(Failing(FILE))
