"""What messages show of a URL, and which URLs a job file may hold."""

import io

import pytest

from pipeline.storage.urls import WatchedFile, filesystem, named, redact, without_credentials


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://key:se/cr/et@bucket/out", "s3://bucket/out"),
        ("gs://token@bucket/out", "gs://bucket/out"),
        ("https://host/a?X-Amz-Signature=abc&b=c", "https://host/a"),
        ("http://host:9000/a@b", "http://host:9000/a@b"),
        ("put s3://u:p@b/c to https://h/d?sig=1 failed", "put s3://b/c to https://h/d failed"),
        ("/data/a@b?.jsonl", "/data/a@b?.jsonl"),
    ],
)
def test_messages_show_urls_without_user_password_and_query(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_a_path_is_named_without_what_is_secret_or_obeyed() -> None:
    assert named("s3://key:se/cr/et@bucket/a\n\x1b") == "s3://bucket/a\\n\\x1b"


def test_a_local_name_is_never_a_chain_of_urls() -> None:
    fs, path = filesystem("/in/zip::a.jsonl")
    assert ("file" in fs.protocol, path) == (True, "/in/zip::a.jsonl")


def test_a_url_with_credentials_is_refused_and_not_quoted() -> None:
    assert without_credentials("s3://bucket/*.jsonl") == "s3://bucket/*.jsonl"
    with pytest.raises(ValueError, match="credentials do not belong in a job file") as refusal:
        without_credentials("s3://key:canary@bucket/out")
    assert "canary" not in str(refusal.value)


def test_a_watched_file_remembers_that_the_storage_failed() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise TimeoutError("canary")

    watched = WatchedFile(io.BytesIO(b"abc"))
    assert (watched.read(2), watched.tell(), watched.error) == (b"ab", 2, None)
    watched = WatchedFile(Failing())
    with pytest.raises(TimeoutError):
        watched.read()
    assert isinstance(watched.error, TimeoutError)
