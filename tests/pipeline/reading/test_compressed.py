import json
import lzma
import zlib
from itertools import product
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.reading import compressed
from pipeline.reading.formats import COMPRESSED
from pipeline.shards.make_plan import make_plan
from tests.pipeline.reading.inputs import compress, lines, read_all, section, write


@pytest.mark.parametrize("kind", [*COMPRESSED])
def test_bombs_are_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(compressed, "RATIO_FREE", 1 << 20)
    write(tmp_path / f"bomb.jsonl{kind}", compress(lines(1) + b"\n" * (4 << 20), kind))
    with pytest.raises(ConfigError, match=rf"bomb.jsonl{kind}: grows more than 500-fold"):
        make_plan(section(str(tmp_path)))


@pytest.mark.parametrize(
    ("kind", "kept"), [*product([".gz", ".zst"], [0.5, 0.9, 0.999]), (".bz2", 0.9), (".xz", 0.9)]
)
def test_rows_before_a_break_stay_and_the_rest_is_one_error(tmp_path: Path, kind: str, kept: float) -> None:
    lines = [json.dumps({"text": str(zlib.crc32(str(n).encode()))}).encode() for n in range(50_000)]
    whole = compress(b"\n".join(lines) + b"\n", kind)
    (tmp_path / f"a.jsonl{kind}").write_bytes(whole[: int(len(whole) * kept)])
    rows = read_all(str(tmp_path), shard_rows=1000)
    assert 0.5 * kept < len(rows) / len(lines) <= kept + 0.05
    assert [row["line"] for row in rows[:-1]] == lines[: len(rows) - 1]
    assert rows[-1]["line"] is None
    assert [row["unreadable"] for row in rows[:-1]] == [None] * (len(rows) - 1)
    assert rows[-1]["unreadable"] == "UNREADABLE"


@pytest.mark.parametrize("kind", [*COMPRESSED])
def test_a_compressed_file_of_nonsense_is_one_error_row(tmp_path: Path, kind: str) -> None:
    (tmp_path / f"a.jsonl{kind}").write_bytes(b"this is no compressed file at all")
    assert [row["unreadable"] for row in read_all(str(tmp_path))] == ["UNREADABLE"]


@pytest.mark.parametrize("kind", [*COMPRESSED])
def test_concatenated_members_are_one_stream(tmp_path: Path, kind: str) -> None:
    (tmp_path / f"a.jsonl{kind}").write_bytes(
        compress(b'{"text": 1}\n{"te', kind) + compress(b'xt": 2}\n', kind)
    )
    assert [row["line"] for row in read_all(str(tmp_path))] == [b'{"text": 1}', b'{"text": 2}']


def test_streams_may_be_padded_with_zeros(tmp_path: Path) -> None:
    one = lzma.compress(b'{"text": 1}\n')
    (tmp_path / "a.jsonl.xz").write_bytes(one + b"\0" * 8 + one + b"\0" * 4)
    assert len(read_all(str(tmp_path))) == 2


def test_a_stream_that_wants_gigabytes_to_be_decompressed_is_one_error_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressed, "XZ_MEMORY", 8 << 20)
    (tmp_path / "a.jsonl.xz").write_bytes(lzma.compress(lines(1), preset=9))
    assert [row["unreadable"] for row in read_all(str(tmp_path))] == ["UNREADABLE"]
