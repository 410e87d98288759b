import errno

import pytest

import pipeline.storage.retries


def test_patience_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.storage.retries, "DEADLINE_SECONDS", 0.3)

    def fail() -> None:
        raise OSError(errno.EBUSY, "canary")

    with pytest.raises(TimeoutError, match=r"s3://bucket/a: no success") as end:
        pipeline.storage.retries.with_retries(fail, "s3://bucket/a")
    assert "canary" not in str(end.value)


def test_412_is_exists_whatever_the_client_makes_of_it() -> None:
    class ClientError(Exception):
        response = {"Error": {"Code": "PreconditionFailed"}, "ResponseMetadata": {"HTTPStatusCode": 412}}  # noqa: RUF012

    def refuse() -> None:
        raise OSError(errno.EINVAL, "At least one precondition failed") from ClientError()

    with pytest.raises(FileExistsError):
        pipeline.storage.retries.with_retries(refuse, "s3://bucket/a")
