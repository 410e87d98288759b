import errno
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import pipeline.storage.retries
from pipeline.errors import ConfigError
from pipeline.storage.google import GoogleFileSystem
from pipeline.storage.object_store import ObjectStore
from pipeline.storage.open_store import open_store
from tests.pipeline.storage.gcs_server import gcs_server, new_bucket, service_account


def test_of_threads_that_race_in_memory_exactly_one_wins(request: pytest.FixtureRequest) -> None:
    store = open_store("memory://race")
    with ThreadPoolExecutor(8) as pool:
        for number in range(100):
            path = f"{number}"
            assert sum(pool.map(lambda _, path=path: store.create(path, b"x"), range(8))) == 1


def test_a_store_that_ignores_the_condition_is_refused() -> None:
    store = open_store("memory://forgetful")
    assert isinstance(store, ObjectStore)

    class Forgetful:
        def pipe_file(self, path: str, data: bytes, mode: str = "overwrite") -> None:
            pass

    store._opened = Forgetful(), "/forgetful"
    with pytest.raises(ConfigError, match="created twice"):
        store.probe()


def test_a_server_that_ignores_the_condition_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gcs_server(keeps_conditions=False) as endpoint:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", endpoint)
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(service_account(tmp_path, endpoint)))
        with pytest.raises(ConfigError, match="created twice"):
            open_store(f"gs://{new_bucket(endpoint)}/out").probe()


@pytest.mark.parametrize("kind", ["s3", "gcs"])
def test_a_missing_bucket_is_a_configuration_error_without_secrets(
    kind: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(f"{kind}_endpoint")
    with pytest.raises(ConfigError, match=f"{kind}://no-such-bucket/out") as refusal:
        open_store(f"{kind}://no-such-bucket/out").probe()
    assert "canary" not in str(refusal.value)


def test_transient_failures_are_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.storage.retries.time, "sleep", lambda seconds: None)
    store = open_store("memory://flaky")
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

    store._opened = Flaky(), store._opened[1]
    assert store.create("a", b"1")
    assert failures == []


def test_credentials_that_are_not_accepted_are_a_configuration_error(
    gcs_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere")
    GoogleFileSystem.clear_instance_cache()
    with pytest.raises(ConfigError, match="the credentials are not accepted") as refusal:
        open_store(gcs_url).probe()
    GoogleFileSystem.clear_instance_cache()
    assert "canary" not in str(refusal.value)
