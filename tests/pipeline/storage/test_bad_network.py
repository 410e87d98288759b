"""Stores on S3 and GCS behind a network that loses, refuses, cuts and delays, by seeded schedules."""

import asyncio
import gzip
import io
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import gcsfs.retry
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pipeline.storage.google
import pipeline.storage.retries
from pipeline.config.job import InputSection
from pipeline.errors import ConfigError, JobError
from pipeline.shards.make_plan import make_plan
from pipeline.shards.read_shard import read_shard, records
from pipeline.storage.amazon import AmazonFileSystem
from pipeline.storage.google import GoogleFileSystem
from pipeline.storage.open_store import open_store
from pipeline.storage.store import Store
from tests.pipeline.storage.bad_network import FATES, BadNetwork, Fate, seeded

DEADLINE = 90.0  # far more than any schedule here needs, so nothing may fail


@dataclass(frozen=True)
class Server:
    """Where a new folder is, and how a client is told of its server."""

    url: str
    endpoint: str
    variable: str
    client: Any
    puts: str  # the method of a request that creates
    piece: int  # what is as large, the client would send in pieces

    @contextmanager
    def behind(self, fate: Fate) -> Iterator[tuple[Store, BadNetwork]]:
        with BadNetwork(self.endpoint, fate) as network, pytest.MonkeyPatch.context() as patch:
            patch.setenv(self.variable, network.url)
            self.client.clear_instance_cache()  # it remembers where the server was
            try:
                yield open_store(self.url), network
            finally:
                self.client.clear_instance_cache()


@pytest.fixture
def s3(s3_url: str, s3_endpoint: str) -> Server:
    return Server(s3_url, s3_endpoint, "AWS_ENDPOINT_URL", AmazonFileSystem, "PUT", 100 * 2**20)


@pytest.fixture
def gcs(gcs_url: str, gcs_endpoint: str) -> Server:
    return Server(gcs_url, gcs_endpoint, "STORAGE_EMULATOR_HOST", GoogleFileSystem, "POST", 50 * 2**20)


@pytest.fixture(params=["s3", pytest.param("gcs", marks=pytest.mark.slow)])
def server(request: pytest.FixtureRequest) -> Server:
    server: Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture(autouse=True)
def _impatient_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """What boto retries itself never reaches the store; gcsfs' waits and the store's own are made short."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(AmazonFileSystem, "retries", 2)
    hasty = SimpleNamespace(sleep=lambda seconds: asyncio.sleep(seconds / 1000))
    monkeypatch.setattr(gcsfs.retry, "asyncio", hasty)
    monkeypatch.setattr(pipeline.storage.retries, "DEADLINE_SECONDS", DEADLINE)


def test_every_fate_is_met_and_a_store_works_as_if_it_were_not(server: Server) -> None:
    met: set[str] = set()
    for seed in range(3):
        here = replace(server, url=f"{server.url}/{seed}")
        with here.behind(seeded(seed, 0.3)) as (store, network):
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


def test_input_is_planned_and_read_through_a_bad_network(server: Server) -> None:
    rows = [{"text": f"row {number}"} for number in range(60)]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer, row_group_size=10)
    files = {"a.jsonl": lines, "b.jsonl.gz": gzip.compress(lines), "c.parquet": buffer.getvalue()}
    for path, data in files.items():
        open_store(server.url).create(f"in/{path}", data)
    with server.behind(seeded(5, 0.3)) as (_, network):
        section = InputSection(path=[f"{server.url}/in"], prompt={"column": "text"}, shard_rows=25)
        tables = [read_shard(shard, ["text"]) for shard in make_plan(section).shards]
    assert [row for table in tables for row in records(table, ["text"])] == rows * 3
    assert sum(network.met.values()) > 5


def test_of_those_who_race_through_a_bad_network_one_wins(server: Server) -> None:
    with server.behind(seeded(1, 0.3)) as (store, network):
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


def test_a_lost_answer_to_a_create_is_no_failure(server: Server) -> None:
    lost = iter(["lost answer"])
    with server.behind(lambda method, path: next(lost, None) if method == server.puts else None) as (
        store,
        _,
    ):
        assert not store.create("parts/a", b"mine")
        assert store.read("parts/a") == b"mine"


def test_a_large_part_is_one_request_with_the_condition_on_it(server: Server) -> None:
    requests: list[str] = []
    data = bytes(server.piece)

    def fate(method: str, path: str) -> None:
        requests.append(method)

    with server.behind(fate) as (store, _):
        assert store.create("parts/large", data)
        assert requests == [server.puts]
        assert not store.create("parts/large", b"another")
        store.replace("large", data)
        assert set(requests) == {server.puts}


def test_a_server_that_never_recovers_is_given_up_at_the_deadline(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline.storage.retries, "DEADLINE_SECONDS", 0.4)
    calls: list[Callable[[Store], object]] = [
        lambda store: store.create("a", b"1"),
        lambda store: store.replace("a", b"1"),
        lambda store: store.read("a"),
        lambda store: store.list("parts"),
        lambda store: store.exists("a"),
    ]
    for fate in ("refused", "lost request"):
        with server.behind(lambda *request, fate=fate: fate) as (store, _):
            for call in calls:
                with pytest.raises(TimeoutError, match="no success within"):
                    call(store)
            with pytest.raises(JobError, match="cannot write there") as unreached:
                store.probe()
            assert not isinstance(unreached.value, ConfigError), "the same command may succeed later"


def test_a_denial_is_final_and_told_without_the_server_s_words(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    begin = time.monotonic()
    with server.behind(lambda *request: "denied") as (store, _):
        for call in (lambda: store.create("a", b"1"), lambda: store.read("a"), lambda: store.list("parts")):
            with pytest.raises(PermissionError, match="HTTP 403") as denial:
                call()
            assert "canary" not in str(denial.value)
    assert time.monotonic() - begin < 5
    assert "canary" not in caplog.text


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], str | None]]:
    """Keeps a request waiting so many seconds, at the test's end for good; clients bear half a second."""
    monkeypatch.setattr(AmazonFileSystem, "read_timeout", 0.5)
    monkeypatch.setattr(pipeline.storage.google, "SILENCE_SECONDS", 0.5)
    ended = threading.Event()
    yield lambda seconds: "lost request" if ended.wait(seconds) else None
    ended.set()


@pytest.mark.parametrize("server", ["s3", "gcs"], indirect=True)
def test_a_server_that_falls_silent_is_asked_again(
    server: Server, silent: Callable[[float], str | None]
) -> None:
    seconds = iter([60.0])
    with server.behind(lambda *request: silent(next(seconds, 0.0))) as (store, _):
        begin = time.monotonic()
        store.create("a", b"mine")
        assert store.read("a") == b"mine"
        assert time.monotonic() - begin < 30


def test_a_server_that_never_answers_is_given_up_at_the_deadline(
    server: Server, silent: Callable[[float], str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline.storage.retries, "DEADLINE_SECONDS", 0.4)
    calls: list[Callable[[Store], object]] = [
        lambda store: store.create("a", b"1"),
        lambda store: store.read("a"),
        lambda store: store.list("parts"),
    ]
    with server.behind(lambda *request: silent(60)) as (store, _):
        for call in calls:
            begin = time.monotonic()
            with pytest.raises(TimeoutError, match="no success within"):
                call(store)
            assert time.monotonic() - begin < 30
