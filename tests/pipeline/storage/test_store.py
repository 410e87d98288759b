import errno
import multiprocessing
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec.config
import pytest
from gcsfs.core import GCSFileSystem
from gcsfs.retry import validate_response

import pipeline.storage.retries
from pipeline.errors import ConfigError
from pipeline.storage.google import GoogleFileSystem
from pipeline.storage.store import LocalStore, ObjectStore, Store
from pipeline.storage.urls import filesystem
from tests.pipeline.storage.gcs_server import gcs_server, new_bucket, service_account


def create(url: str, path: str, data: bytes) -> bool:
    return Store.open(url).create(path, data)


def test_create_makes_a_file_once_and_never_changes_it(place: str) -> None:
    store = Store.open(place)
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
        Store.open(place).read("_job/spec.json")


def test_list_sees_what_another_store_object_just_wrote(place: str) -> None:
    mine, theirs = Store.open(place), Store.open(place)
    assert mine.list("generations") == []
    theirs.create("generations/b", b"1")
    assert mine.list("generations") == ["generations/b"]
    theirs.create("generations/a", b"1")
    theirs.create("generations/deeper/c", b"1")
    assert mine.list("generations") == ["generations/a", "generations/b"]


def test_replace_overwrites(place: str) -> None:
    store = Store.open(place)
    store.replace("report.json", b"1")
    store.replace("report.json", b"2")
    assert store.read("report.json") == b"2"


def test_probe_passes_and_may_be_repeated(place: str) -> None:
    store = Store.open(place)
    store.probe()
    store.probe()
    assert store.list("generations") == []


def test_a_store_can_be_pickled(place: str) -> None:
    store = pickle.loads(pickle.dumps(Store.open(place)))
    assert store.create("a", b"1")
    assert not Store.open(place).create("a", b"2")


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
        assert Store.open(url).read(f"generations/part-{number}") == f"{results.index(True)}".encode()


def test_of_threads_that_race_in_memory_exactly_one_wins(request: pytest.FixtureRequest) -> None:
    store = Store.open("memory://race")
    with ThreadPoolExecutor(8) as pool:
        for number in range(100):
            path = f"{number}"
            assert sum(pool.map(lambda _, path=path: store.create(path, b"x"), range(8))) == 1


def test_a_full_disk_leaves_no_part_and_no_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.open(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    store.create("generations/a", b"1")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.create("generations/b", b"data")
    assert store.list("generations") == ["generations/a"]
    assert store.list("_job/tmp") == []


def test_a_disk_without_hard_links_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(source: object, target: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(ConfigError, match="hard links"):
        Store.open(tmp_path).probe()


def test_a_store_that_ignores_the_condition_is_refused() -> None:
    store = Store.open("memory://forgetful")
    assert isinstance(store, ObjectStore)

    class Forgetful:
        def pipe_file(self, path: str, data: bytes, mode: str = "overwrite") -> None:
            pass

    store._fs = Forgetful()
    with pytest.raises(ConfigError, match="created twice"):
        store.probe()


def test_a_server_that_ignores_the_condition_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gcs_server(keeps_conditions=False) as endpoint:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", endpoint)
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(service_account(tmp_path, endpoint)))
        with pytest.raises(ConfigError, match="created twice"):
            Store.open(f"gs://{new_bucket(endpoint)}/out").probe()


def test_the_boundary_between_parts_of_a_request_is_data_in_the_data(gcs_url: str) -> None:
    store = Store.open(gcs_url)
    data = b'{"text": "\n--==0==--\n"}\n--==0==\n\n'
    assert store.create("a", data)
    assert not store.create("a", data + b"--==0==")
    store.replace("b", data)
    store.replace("b", data)
    assert store.read("a") == store.read("b") == data


def test_kinds_without_an_atomic_create_are_refused_by_name_without_secrets() -> None:
    with pytest.raises(ConfigError, match="ftp://host/out") as refusal:
        Store.open("ftp://user:canary@host/out")
    assert "canary" not in str(refusal.value)


@pytest.mark.parametrize("kind", ["s3", "gcs"])
def test_a_missing_bucket_is_a_configuration_error_without_secrets(
    kind: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(f"{kind}_endpoint")
    with pytest.raises(ConfigError, match=f"{kind}://no-such-bucket/out") as refusal:
        Store.open(f"{kind}://no-such-bucket/out").probe()
    assert "canary" not in str(refusal.value)


def test_transient_failures_are_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.storage.retries.time, "sleep", lambda seconds: None)
    store = Store.open("memory://flaky")
    assert isinstance(store, ObjectStore)
    real = store._fs
    failures = [
        OSError(errno.EBUSY, "SlowDown"),
        TimeoutError(),
        OSError(errno.EIO, "ConditionalRequestConflict"),
    ]

    class Flaky:
        def pipe_file(self, path: str, data: bytes, mode: str = "overwrite") -> None:
            if failures:
                raise failures.pop()
            real.pipe_file(path, data, mode=mode)

    store._fs = Flaky()
    assert store.create("a", b"1")
    assert failures == []


def test_patience_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.storage.retries, "DEADLINE_SECONDS", 0.3)

    def fail() -> None:
        raise OSError(errno.EBUSY, "canary")

    with pytest.raises(TimeoutError, match=r"s3://bucket/a: no success") as end:
        pipeline.storage.retries.patiently(fail, "s3://bucket/a")
    assert "canary" not in str(end.value)


def test_412_is_exists_whatever_the_client_makes_of_it() -> None:
    class ClientError(Exception):
        response = {"Error": {"Code": "PreconditionFailed"}, "ResponseMetadata": {"HTTPStatusCode": 412}}  # noqa: RUF012

    def refuse() -> None:
        raise OSError(errno.EINVAL, "At least one precondition failed") from ClientError()

    with pytest.raises(FileExistsError):
        pipeline.storage.retries.patiently(refuse, "s3://bucket/a")


def test_what_gcsfs_says_of_a_bad_request_is_not_told(gcs_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(self: GoogleFileSystem, *request: object, **options: object) -> None:
        validate_response(400, b'{"error": {"message": "canary: invalid"}}', "path")

    monkeypatch.setattr(GCSFileSystem, "_request", refuse)
    with pytest.raises(OSError, match="HTTP 400") as end:
        Store.open(gcs_url).read("a")
    assert "canary" not in str(end.value)


def test_credentials_that_are_not_accepted_are_a_configuration_error(
    gcs_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere")
    GoogleFileSystem.clear_instance_cache()
    with pytest.raises(ConfigError, match="PermissionError") as refusal:
        Store.open(gcs_url).probe()
    GoogleFileSystem.clear_instance_cache()
    assert "canary" not in str(refusal.value)


def test_a_profile_that_fsspec_is_configured_with_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fsspec.config.conf, "s3", {"profile": "nightly"})
    fs, _ = filesystem("s3://bucket/out")
    assert fs.session.profile == "nightly"


def test_urls_are_for_people(tmp_path: Path) -> None:
    assert Store.open(tmp_path).url("generations") == f"{tmp_path}/generations"
    assert Store.open(f"file://{tmp_path}").url() == str(tmp_path)
    assert Store.open("memory://a/b/").url("c") == "memory://a/b/c"
    assert isinstance(Store.open("~/x"), LocalStore)
    assert "~" not in Store.open("~/x").root
