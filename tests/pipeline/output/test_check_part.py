"""A part that is not its shard's, or that the disk does not give, is named."""

import errno
import os
from pathlib import Path

import pytest

from pipeline.storage.open_store import open_store
from pipeline.storage.sealed_parquet import sealed
from pipeline.storage.store import Store
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
        name(out, stranger): "it is none of this job's files",
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


@pytest.mark.parametrize(
    ("error", "what", "remedy"),
    [
        (
            OSError(errno.EIO, "Input/output error"),
            "its disk does not give it: Input/output error",
            "remove it",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied"),
            "it may not be read: Permission denied",
            "let this",
        ),
    ],
    ids=["broken disk", "no permission"],
)
def test_a_file_that_cannot_be_read_is_named(
    out: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, what: str, remedy: str
) -> None:
    store, path = failing(out, monkeypatch, error)
    [found] = verified(store).damage
    assert (found.path, found.what) == (path, what)
    assert found.remedy.startswith(remedy)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOMEM, errno.ESTALE])
def test_what_may_pass_is_no_damage(out: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """What verify said so far is kept by the command."""
    store, _ = failing(out, monkeypatch, OSError(number, os.strerror(number)))
    with pytest.raises(OSError, match=os.strerror(number)):
        verified(store)


def failing(out: Path, monkeypatch: pytest.MonkeyPatch, error: OSError) -> tuple[Store, str]:
    """A store that fails so for its first part."""
    store = open_store(out)
    [path, *_] = store.list("generations")
    plain = store.read

    def read(asked: str) -> bytes:
        if asked == path:
            raise error
        return plain(asked)

    monkeypatch.setattr(store, "read", read)
    return store, path
