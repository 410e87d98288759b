"""A part that is not its shard's, or that the disk does not give, is named."""

from pathlib import Path

import pytest

from pipeline.storage.open_store import open_store
from pipeline.storage.sealed_parquet import sealed
from tests import small_output
from tests.pipeline.output.verified import damaged, name, part, verified


def test_parts_of_another_shard_or_another_job_are_named(out: Path, tmp_path: Path) -> None:
    first, second, third = (part(out, number) for number in range(3))
    first.write_bytes(second.read_bytes())
    third.write_bytes(b"PAR1" + bytes(200) + b"PAR1")
    stranger = out / "generations/part-000001-feed.parquet"
    stranger.write_bytes(second.read_bytes())
    assert damaged(out) == {
        name(out, first): f"it was written as {name(out, second)}, maybe by another job",
        name(out, third): "it was cut, or it is no file of mixtray",
        name(out, stranger): "it is of no shard of this job",
    }


def test_rows_that_are_not_those_of_the_plan_are_named(out: Path) -> None:
    """As a bug could write them: the file is whole."""
    first, second = part(out, 0), part(out, 1)
    renamed = second.read_bytes().replace(name(out, second).encode(), name(out, first).encode())
    first.write_bytes(sealed(bytearray(renamed)))
    assert damaged(out)[name(out, first)] == "it has 2 rows where 4 are planned"
    job, store, plan = small_output.begin(small_output.job_data(out.parent / "other"))
    small_output.commit(job, store, plan.shards)
    ours, theirs = part(out, 0), part(out.parent / "other/out", 2)
    renamed = theirs.read_bytes().replace(
        name(out.parent / "other/out", theirs).encode(), name(out, ours).encode()
    )
    ours.write_bytes(sealed(bytearray(renamed)))
    assert damaged(out)[name(out, ours)] == "its rows are not 0 to 3 of a.jsonl"


def test_a_file_that_the_disk_does_not_give_is_named(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(out)
    [path, *_] = store.list("generations")
    plain = store.read

    def read(asked: str) -> bytes:
        if asked == path:
            raise OSError(5, "Input/output error", asked)
        return plain(asked)

    monkeypatch.setattr(store, "read", read)
    assert [(one.path, one.what) for one in verified(store).damage] == [
        (path, "it cannot be read: Input/output error")
    ]
