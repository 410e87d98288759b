"""Stores on a real S3 server behind a network that loses, refuses, cuts and delays, by seeded schedules."""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from s3fs import S3FileSystem

import pipeline.storage.patience
from pipeline.errors import ConfigError
from pipeline.storage.store import Store
from tests.pipeline.storage.bad_network import FATES, BadNetwork, Fate, seeded

DEADLINE = 90.0  # far more than any schedule here needs, so nothing may fail


@pytest.fixture(autouse=True)
def _impatient_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """What boto retries itself never reaches the store; the store's own waits are made short."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(S3FileSystem, "retries", 2)
    monkeypatch.setattr(pipeline.storage.patience, "DEADLINE_SECONDS", DEADLINE)


@contextmanager
def store_behind(
    fate: Fate, url: str, endpoint: str, patch: pytest.MonkeyPatch
) -> Iterator[tuple[Store, BadNetwork]]:
    with BadNetwork(endpoint, fate) as network, patch.context() as inside:
        inside.setenv("AWS_ENDPOINT_URL", network.url)
        S3FileSystem.clear_instance_cache()  # it remembers where the server was
        try:
            yield Store.open(url), network
        finally:
            S3FileSystem.clear_instance_cache()


def test_every_fate_is_met_and_a_store_works_as_if_it_were_not(
    s3_url: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    met: set[str] = set()
    for seed in range(4):
        folder = f"{s3_url}/{seed}"
        with store_behind(seeded(seed, 0.3), folder, s3_endpoint, monkeypatch) as (store, network):
            work_through(store, network, random.Random(seed))
        met |= network.met.keys()
    assert set(FATES) <= met


def work_through(store: Store, network: BadNetwork, dice: random.Random) -> None:
    """Operations in an order by chance, each compared with what a dictionary says."""
    created: dict[str, bytes] = {}
    replaced: dict[str, bytes] = {}
    for number in range(24):
        path, data = f"parts/{dice.randrange(6)}", f"{number} {store.root}".encode() * 20
        action = dice.choice(("create", "create", "read", "list", "replace", "exists"))
        if action == "create":
            unheard = network.met["lost answer"] + network.met["cut answer"]
            won = store.create(path, data)
            assert not (won and path in created), "an existing file was created"
            if not won and path not in created:
                assert network.met["lost answer"] + network.met["cut answer"] > unheard
            assert store.read(path) == created.setdefault(path, data)
        elif action == "replace":
            store.replace("report.json", data)
            replaced["report.json"] = data
            assert store.read("report.json") == data
        elif action == "list":
            assert store.list("parts") == sorted(created)
        elif action == "exists":
            assert store.exists(path) == (path in created)
        elif path in created:
            assert store.read(path) == created[path]
            with store.open_file(path) as part:
                assert part.read() == created[path]
        else:
            with pytest.raises(FileNotFoundError):
                store.read(path)


def test_of_those_who_race_through_a_bad_network_one_wins(
    s3_url: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store_behind(seeded(1, 0.3), s3_url, s3_endpoint, monkeypatch) as (store, network):
        for number in range(8):
            path = f"parts/{number}"
            unheard = network.met["lost answer"] + network.met["cut answer"]
            with ThreadPoolExecutor(4) as pool:
                won = list(pool.map(lambda racer, path=path: store.create(path, b"%d" % racer), range(4)))
            winner = int(store.read(path))
            if any(won):
                assert won == [racer == winner for racer in range(4)]
            else:  # the winner never heard of it
                assert network.met["lost answer"] + network.met["cut answer"] > unheard


def test_a_lost_answer_to_a_create_is_no_failure(
    s3_url: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = iter(["lost answer"])
    with store_behind(
        lambda method, path: next(lost, None) if method == "PUT" else None, s3_url, s3_endpoint, monkeypatch
    ) as (store, _):
        assert not store.create("parts/a", b"mine")
        assert store.read("parts/a") == b"mine"


def test_a_large_part_is_one_request_with_the_condition_on_it(
    s3_url: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[str] = []
    data = bytes(100 * 2**20)  # s3fs would send it in pieces

    def fate(method: str, path: str) -> None:
        requests.append(method)

    with store_behind(fate, s3_url, s3_endpoint, monkeypatch) as (store, _):
        assert store.create("parts/large", data)
        assert requests == ["PUT"]
        assert not store.create("parts/large", b"another")
        store.replace("large", data)
        assert set(requests) == {"PUT"}


def test_a_server_that_never_recovers_is_given_up_at_the_deadline(
    s3_url: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline.storage.patience, "DEADLINE_SECONDS", 1.0)
    calls: list[Callable[[Store], object]] = [
        lambda store: store.create("a", b""),
        lambda store: store.replace("a", b""),
        lambda store: store.read("a"),
        lambda store: store.list("parts"),
        lambda store: store.exists("a"),
    ]
    for fate in ("refused", "lost request"):
        with store_behind(lambda *request, fate=fate: fate, s3_url, s3_endpoint, monkeypatch) as (store, _):
            for call in calls:
                with pytest.raises(TimeoutError, match="no success within 1 s"):
                    call(store)
            with pytest.raises(ConfigError, match="cannot write there"):
                store.probe()
