import os
import shutil
from pathlib import Path

import pytest

from pipeline.reading import etags
from pipeline.reading.etags import etag, file_etag


def test_a_small_local_file_has_the_etag_of_its_content_wherever_and_whenever_it_lies(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    shutil.copyfile(tmp_path / "a", tmp_path / "b")
    os.utime(tmp_path / "b", (1, 1))
    assert file_etag(f"{tmp_path}/a") == file_etag(f"{tmp_path}/b")
    (tmp_path / "b").write_bytes(b"y")
    assert file_etag(f"{tmp_path}/a") != file_etag(f"{tmp_path}/b")


def test_a_link_has_the_etag_of_what_it_leads_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etags, "HASHED_BYTES", 0)
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "link").symlink_to("a")
    before = file_etag(f"{tmp_path}/link")
    assert before == file_etag(f"{tmp_path}/a")
    os.utime(tmp_path / "a", (1, 1))
    assert file_etag(f"{tmp_path}/link") == file_etag(f"{tmp_path}/a") != before


def test_a_store_s_own_etag_is_taken() -> None:
    assert etag({"name": "b/a", "size": 1, "ETag": '"feed"'}) == "feed"
    assert etag({"name": "b/a", "size": 1, "md5Hash": "feed=="}) == "feed=="
    assert etag({"name": "/a", "size": 1}) == "1-"
