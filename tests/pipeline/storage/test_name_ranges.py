"""Long lists, which object stores give in many answers."""

from typing import Any

import pytest

import pipeline.durable.commit
import tests.pipeline.storage.gcs_server
from pipeline.durable.commit import part_path, parts_there, remaining
from pipeline.durable.operations import List, execute
from pipeline.errors import ConfigError
from pipeline.shards.plan import Plan
from pipeline.shards.shard import Shard
from pipeline.storage.amazon import AmazonFileSystem
from pipeline.storage.open_store import open_store
from tests.pipeline.storage.bad_network import BadNetwork, seeded

CUTS = ("a", "part-1", "part-15", "part-3", "part-9", "z")
NAMES = ["a", "part-1", "part-9", "z", "zz", "é", *(f"part-{n}{c}" for n in range(1, 4) for c in "0 &-9")]


@pytest.fixture(autouse=True)
def _few_names_in_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")
    monkeypatch.setattr(tests.pipeline.storage.gcs_server, "MOST_OF_A_PAGE", 3)


@pytest.mark.parametrize("cuts", [(), ("part-2",), CUTS])
def test_a_list_has_every_name_once(place: str, cuts: tuple[str, ...]) -> None:
    store = open_store(place)
    for name in NAMES:
        store.create(f"parts/{name}", b"1")
    store.create("parts/part-2/deeper", b"1")
    store.create("parts-2/other", b"1")
    assert store.list("parts", cuts) == sorted(f"parts/{name}" for name in NAMES)
    assert store.list("part", cuts) == []


def test_a_bucket_that_is_not_there_is_no_empty_folder(s3_endpoint: str) -> None:
    with pytest.raises(NotADirectoryError, match="there is no such bucket"):
        open_store("s3://no-such-bucket/out").list("parts", CUTS)


SHARDS = [Shard(n, f"{n:016x}", "/a", "a", "etag", "jsonl", n, 1, n, n + 1) for n in range(12)]


@pytest.mark.parametrize("kind", ["s3", "gcs"])
def test_what_is_missing_is_found_in_ranges(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline.durable.commit, "_BETWEEN_CUTS", 5)
    plan, store = Plan(SHARDS, ()), open_store(request.getfixturevalue(f"{kind}_url"))
    assert execute(remaining(plan), store) == SHARDS
    for shard in SHARDS:
        if shard.ordinal not in (0, 5, 11):
            store.create(part_path(shard), b"rows")
    assert [shard.ordinal for shard in execute(remaining(plan), store)] == [0, 5, 11]
    store.create("generations/strange.parquet", b"rows")
    with pytest.raises(ConfigError, match=r"generations/strange\.parquet"):
        execute(remaining(plan), store)


def test_a_list_in_ranges_comes_through_a_bad_network(
    s3_url: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(s3_url)
    for name in NAMES:
        store.create(f"parts/{name}", b"1")
    with BadNetwork(s3_endpoint, seeded(3, 0.2)) as network:
        monkeypatch.setenv("AWS_ENDPOINT_URL", network.url)
        AmazonFileSystem.clear_instance_cache()
        assert open_store(s3_url).list("parts", CUTS) == sorted(f"parts/{name}" for name in NAMES)
        assert sum(network.met.values()) - network.met["None"] > 0
    AmazonFileSystem.clear_instance_cache()


def test_cuts_are_in_the_order_of_names_however_many_digits_they_have() -> None:
    many: Any = range(1_030_000)
    asked = next(parts_there(Plan(many, ())))
    assert isinstance(asked, List)
    assert list(asked.cuts) == sorted(asked.cuts)
    assert {"part-007500", "part-997500", "part-1020000"} <= set(asked.cuts)
