import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.shards import read_shard as read_shard_module
from pipeline.shards.make_plan import make_plan
from pipeline.shards.read_shard import read_shard
from tests.pipeline.conftest import write
from tests.pipeline.reading.inputs import compress, read_all, section


def plain_split(data: bytes) -> list[bytes]:
    """What a row is, said as simply as can be."""
    lines = data.rstrip(b" \t\r\n").split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    if lines:
        lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
    return [line.removesuffix(b"\r") for line in lines]


PIECES = [b"\n", b"\r\n", b"\r", b'{"text": "a"}', b"\xef\xbb\xbf", b"\xff", b"\x00", b" "]
JSONISH = st.lists(st.sampled_from(PIECES))


@pytest.mark.parametrize("kind", ["", ".gz", ".zst"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(data=st.one_of(st.binary(max_size=200), JSONISH.map(b"".join)), shard_rows=st.integers(1, 9))
@example(data=b"\xef\xbb\xbf", shard_rows=1)
@example(data=b"\n", shard_rows=1)
@example(data=b"\n{}\n \n\r\n\t", shard_rows=1)
def test_reading_in_shards_equals_splitting_the_whole(
    tmp_path: Path, kind: str, data: bytes, shard_rows: int
) -> None:
    path = tmp_path / f"in.jsonl{kind}"
    path.write_bytes(compress(data, kind))
    try:
        rows = read_all(str(path), shard_rows=shard_rows)
    except ConfigError:  # hypothesis found a JSON array, or a record without the column
        return
    assert [row["line"] for row in rows] == plain_split(data)


@pytest.mark.parametrize("kind", ["", ".gz", ".zst"])
def test_plan_and_read_are_the_same_everywhere(place: str, kind: str) -> None:
    lines = [json.dumps({"text": "ü" * (n % 50), "n": n}).encode() for n in range(3000)]
    write(f"{place}/in/a.jsonl{kind}", compress(b"\n".join(lines), kind))
    write(f"{place}/in/sub/b.jsonl", b"{}\n\n \r\n")
    assert [row["line"] for row in read_all(f"{place}/in", shard_rows=700)] == [*lines, b"{}"]


def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'{"text": "one"}\n')
    [shard] = make_plan(section(str(tmp_path))).shards

    def read_range(*shard: Any) -> Iterator[bytes]:
        yield b'{"text": '
        file.write_bytes(b'{"text": "two"}\n')
        yield b'"two"}\n'

    monkeypatch.setattr(read_shard_module, "read_range", read_range)
    with pytest.raises(ConfigError, match="changed since it was planned"):
        read_shard(shard, [])


def test_a_file_that_changes_after_the_plan_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": 1}\n')
    [shard] = make_plan(section(str(path))).shards
    path.write_bytes(b'{"text": 1}\n{"text": 2}\n')
    with pytest.raises(ConfigError, match=r"a.jsonl: changed"):
        read_shard(shard, [])
