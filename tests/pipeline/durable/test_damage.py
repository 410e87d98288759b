"""Each kind of file has its own words about what to do; an error says them in one line and can be pickled."""

import pickle
from pathlib import Path

import orjson
import pytest

from pipeline.durable.damage import damaged, foreign, naming_damage
from pipeline.errors import DamagedFile
from tests import small_output


def test_each_file_that_a_job_leaves_has_its_own_words(tmp_path: Path) -> None:
    store = small_output.finished(tmp_path)
    store.create("_job/attempts/feed-0000.json", b"")
    store.create("_job/machine.json", b"")
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    remedies = {damaged(str(path.relative_to(store.root)), "cut").remedy for path in files}
    assert len(remedies) == 8  # report and published tables have the same
    assert all("run the same command again" in remedy for remedy in remedies)


def test_it_is_one_line_that_can_be_pickled() -> None:
    error = foreign("generations/a\x1b[31m\nb.parquet")
    assert str(error) == (
        r"output.path: generations/a\x1b[31m\nb.parquet is damaged (it is none of this job's files): "
        "move it out of the folder"
    )
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.path, again.exit_code) == (str(error), error.path, 2)


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"{", "it is not what was written there"), (b"[]", "not what"), (b"{}", "not what"), (b"1", "odd")],
)
def test_what_fails_in_parsing_names_the_file_and_quotes_nothing(content: bytes, told: str) -> None:
    def parse() -> None:
        value = orjson.loads(content)
        if value == 1:
            raise ValueError("it is odd")
        value["canary"]

    with pytest.raises(DamagedFile, match=told) as raised, naming_damage("_SUCCESS"):
        parse()
    assert raised.value.__suppress_context__
    assert "canary" not in str(raised.value)


def test_what_the_storage_raises_is_no_damage() -> None:
    with pytest.raises(OSError, match="gone"), naming_damage("_SUCCESS"):
        raise OSError("the disk is gone")
