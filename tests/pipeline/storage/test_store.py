import multiprocessing
import pickle
from pathlib import Path

import pytest

from pipeline.storage.open_store import open_store


def create(url: str, path: str, data: bytes) -> bool:
    return open_store(url).create(path, data)


def test_create_makes_a_file_once_and_never_changes_it(place: str) -> None:
    store = open_store(place)
    assert store.create("generations/part-0", b"first")
    assert not store.create("generations/part-0", b"second")
    assert store.read("generations/part-0") == b"first"
    with store.open_file("generations/part-0") as part:
        part.seek(2)
        assert part.read() == b"rst"
    assert store.exists("generations/part-0")
    assert not store.exists("generations/part-1")
    assert not store.exists("generations")


def test_read_of_nothing_is_file_not_found(place: str) -> None:
    with pytest.raises(FileNotFoundError):
        open_store(place).read("_job/spec.json")


def test_list_sees_what_another_store_object_just_wrote(place: str) -> None:
    mine, theirs = open_store(place), open_store(place)
    assert mine.list("generations") == []
    theirs.create("generations/b", b"1")
    assert mine.list("generations") == ["generations/b"]
    theirs.create("generations/a", b"1")
    theirs.create("generations/deeper/c", b"1")
    assert mine.list("generations") == ["generations/a", "generations/b"]


def test_replace_overwrites(place: str) -> None:
    store = open_store(place)
    store.replace("report.json", b"1")
    store.replace("report.json", b"2")
    assert store.read("report.json") == b"2"


def test_probe_passes_and_may_be_repeated(place: str) -> None:
    store = open_store(place)
    store.probe()
    store.probe()
    assert store.list("generations") == []


def test_a_store_can_be_pickled(place: str) -> None:
    store = pickle.loads(pickle.dumps(open_store(place)))
    assert store.create("a", b"1")
    assert not open_store(place).create("a", b"2")


@pytest.mark.parametrize("kind", ["local", "s3", "gcs"])
def test_of_processes_that_race_exactly_one_wins(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = str(tmp_path) if kind == "local" else request.getfixturevalue(f"{kind}_url")
    rounds, racers = 15, 4
    calls = [(url, f"generations/part-{n}", f"{r}".encode()) for n in range(rounds) for r in range(racers)]
    with multiprocessing.get_context("spawn").Pool(racers) as pool:
        won = pool.starmap(create, calls, chunksize=1)
    for number in range(rounds):
        results = won[number * racers : (number + 1) * racers]
        assert sum(results) == 1
        assert open_store(url).read(f"generations/part-{number}") == f"{results.index(True)}".encode()
