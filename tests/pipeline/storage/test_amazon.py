"""s3fs as the project needs it."""

from datetime import UTC, datetime
from typing import Any

import fsspec.config
import pytest

from pipeline.storage.amazon import AmazonFileSystem
from pipeline.storage.open_store import open_store
from pipeline.storage.urls import filesystem


def test_a_profile_that_fsspec_is_configured_with_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fsspec.config.conf, "s3", {"profile": "nightly"})
    fs, _ = filesystem("s3://bucket/out")
    assert fs.session.profile == "nightly"


class InNoOrder:
    """Lists in no order, as S3 Express does, and heeds no bounds."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []

    async def __call__(self, method: str, **asked: str) -> dict[str, Any]:
        self.asked.append(asked)
        names, more = (("z", "b"), False) if "ContinuationToken" in asked else (("c", "a"), True)
        contents = [{"Key": f"out/parts/{name}"} for name in names]
        return {"IsTruncated": more, "NextContinuationToken": "token", "Contents": contents}


@pytest.mark.parametrize("cuts", [("b",), ("zz",), ("A",)])
def test_where_names_have_no_order_none_is_lost_or_doubled(
    s3_endpoint: str, cuts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = InNoOrder()
    monkeypatch.setattr(AmazonFileSystem, "_call_s3", staticmethod(server))
    assert open_store("s3://bucket/out").list("parts", cuts) == [f"parts/{name}" for name in "abcz"]
    assert "StartAfter" not in server.asked[-1]


def test_dates_are_read_as_botocore_reads_them(s3_url: str) -> None:
    store = open_store(s3_url)
    store.create("a", b"1")
    fs, path = store._opened  # type: ignore[attr-defined]
    [listed], found = fs.ls(path, detail=True), fs.info(f"{path}/a")
    assert isinstance(listed["LastModified"], datetime)
    assert listed["LastModified"].replace(microsecond=0) == found["LastModified"]  # in ISO's and HTTP's words
    assert abs((datetime.now(UTC) - found["LastModified"]).total_seconds()) < 60
