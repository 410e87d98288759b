"""The answers of the replica that had them first hold for all, to the last bit; damage is named."""

import math
from pathlib import Path

import pytest

from pipeline.durable.first_answers import FIRST_ANSWERS, agree_on, stored_answers
from pipeline.durable.operations import execute
from pipeline.errors import DamagedFile
from pipeline.storage.open_store import open_store

OURS = {
    "N/A": {"a": -0.1, "b": -2.3e-17, "c": -1 / 3},
    "": {"a": -math.pi, "b": math.nextafter(-1.0, 0), "c": -1e308},
}


def test_the_first_ones_win_and_stay_as_they_were(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    assert execute(stored_answers(), store) is None
    assert execute(agree_on(OURS), store) == OURS
    before = store.read(FIRST_ANSWERS)
    other = {
        text: {name: logprob + 1e-12 for name, logprob in of_text.items()} for text, of_text in OURS.items()
    }
    assert execute(agree_on(other), store) == OURS
    assert execute(stored_answers(), store) == OURS
    assert store.read(FIRST_ANSWERS) == before


def test_answers_of_another_job_are_not_taken_for_this_one_s(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    execute(agree_on(OURS), store)
    backwards = {text: dict(reversed(of_text.items())) for text, of_text in reversed(OURS.items())}
    assert execute(agree_on(backwards), store) == OURS, "the order says nothing, names do"
    for other in ({"N/A": OURS["N/A"]}, OURS | {"": {"a": -1.0, "b": -1.0, "d": -1.0}}, {"topic": OURS}):
        with pytest.raises(DamagedFile, match="it is of other choices, questions or texts than this job's"):
            execute(agree_on(other), store)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"",
        lambda data: data[:-3],
        lambda data: data.replace(b"-0.1", b"-0.2"),
        lambda data: b"[1]",
        lambda data: b"{}",
        lambda data: b"null",
    ],
)
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, change: object) -> None:
    assert callable(change)
    whole, store = open_store(tmp_path / "whole"), open_store(tmp_path / "damaged")
    execute(agree_on(OURS), whole)
    store.create(FIRST_ANSWERS, change(whole.read(FIRST_ANSWERS)))
    for steps in (agree_on(OURS), stored_answers()):
        with pytest.raises(
            DamagedFile, match=r"_job/first_answers\.json is damaged \(.*\): remove it and run the same"
        ):
            execute(steps, store)
