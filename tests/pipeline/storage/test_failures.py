"""What a store refuses for good fails at once, with the reason, wherever the URL stands in a job."""

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pipeline.checkpoints.location import locate
from pipeline.config.input import InputSection
from pipeline.errors import ConfigError, JobError, job_error
from pipeline.reading.files import expand
from pipeline.storage.amazon import AmazonFileSystem
from pipeline.storage.failures import describe, is_transient, without_message
from pipeline.storage.open_store import open_store
from tests.pipeline.storage.refusing_server import refusing_server

URL = "s3://bucket/folder"
WAYS: dict[str, Callable[[], object]] = {
    "input.path": lambda: expand(InputSection.model_validate({"path": URL, "prompt": {"column": "c"}})),
    "model.path": lambda: locate(URL),
    "output.path": lambda: open_store(URL).probe(),
    "a resumed job": lambda: open_store(URL).list("generations"),
}
REFUSALS = {
    (404, "NoSuchBucket"): "there is no such bucket|no such file or folder|no such folder",
    (403, "AccessDenied"): "do not permit it",
    (403, "InvalidAccessKeyId"): "check AWS_ACCESS_KEY_ID|credentials are wrong",
    (403, "SignatureDoesNotMatch"): "check AWS_SECRET_ACCESS_KEY|credentials are wrong",
    (301, "PermanentRedirect"): "another region",
    (400, "AuthorizationHeaderMalformed"): "another region",
    (400, "ExpiredToken"): "have expired",
    (501, "NotImplemented"): "the store cannot do this",
}
SECONDS = 8.0  # boto tries some of them a few times; ours would take two minutes


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    AmazonFileSystem.clear_instance_cache()
    yield
    AmazonFileSystem.clear_instance_cache()


@contextmanager
def refused_at_once(reason: str) -> Iterator[None]:
    """The block raises what a command ends with exit code 2 for, says why, and quotes no server."""
    begin = time.monotonic()
    with pytest.raises((ConfigError, OSError)) as refusal:
        yield
    told = refusal.value
    told = job_error(told) if isinstance(told, OSError) else told
    assert isinstance(told, ConfigError), told
    assert any(part in str(told) for part in reason.split("|")), told
    assert "canary" not in str(told)
    assert time.monotonic() - begin < SECONDS


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal[1])
def test_what_s3_refuses_for_good_is_told_at_once(
    refusal: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with refusing_server(*refusal) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        for way in WAYS.values():
            with refused_at_once(REFUSALS[refusal]):
                way()


@pytest.mark.parametrize("way", WAYS)
def test_credentials_that_nobody_gave_are_told_at_once(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, os.devnull)
    with refused_at_once("no credentials were found: give credentials in the environment"):
        WAYS[way]()


@pytest.mark.parametrize("way", WAYS)
def test_a_region_that_none_can_be_is_told_at_once(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "no region!")
    with refused_at_once("check AWS_DEFAULT_REGION"):
        WAYS[way]()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_disk_is_no_moment_of_a_network(number: int) -> None:
    assert not is_transient(OSError(number, "canary"))
    told = without_message(OSError(number, "canary"), "/data/a")
    assert str(told) == f"[Errno {number}] {os.strerror(number)}: '/data/a'"


def test_what_may_pass_is_tried_again() -> None:
    class Answered(Exception):
        def __init__(self, status: int, code: str) -> None:
            self.response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}

    for status, code in ((503, "SlowDown"), (500, "InternalError"), (400, "RequestTimeout"), (409, "409")):
        assert is_transient(Answered(status, code)), code
    assert is_transient(TimeoutError())
    assert describe(Answered(403, "AccessDenied")) == (
        "Answered, HTTP 403 AccessDenied: the credentials do not permit it"
    )


def test_what_the_system_refuses_is_mended_first_and_all_else_run_again() -> None:
    assert isinstance(job_error(PermissionError(errno.EACCES, "denied", "/a")), ConfigError)
    assert str(job_error(PermissionError(errno.EACCES, "denied", "/a"), "model.path")) == (
        "model.path: [Errno 13] denied: '/a'"
    )
    full = job_error(OSError(errno.ENOSPC, "No space left on device", "/a"))
    assert type(full) is JobError
    assert str(full).startswith("[Errno 28] No space left on device: '/a'; ")
