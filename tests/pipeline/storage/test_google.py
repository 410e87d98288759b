"""gcsfs as the project needs it."""

import pytest
from gcsfs.core import GCSFileSystem
from gcsfs.retry import validate_response

from pipeline.storage.google import GoogleFileSystem
from pipeline.storage.open_store import open_store


def test_the_boundary_between_parts_of_a_request_is_data_in_the_data(gcs_url: str) -> None:
    store = open_store(gcs_url)
    data = b'{"text": "\n--==0==--\n"}\n--==0==\n\n'
    assert store.create("a", data)
    assert not store.create("a", data + b"--==0==")
    store.replace("b", data)
    store.replace("b", data)
    assert store.read("a") == store.read("b") == data


def test_what_gcsfs_says_of_a_bad_request_is_not_told(gcs_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(self: GoogleFileSystem, *request: object, **options: object) -> None:
        validate_response(400, b'{"error": {"message": "canary: invalid"}}', "path")

    monkeypatch.setattr(GCSFileSystem, "_request", refuse)
    with pytest.raises(OSError, match="HTTP 400") as end:
        open_store(gcs_url).read("a")
    assert "canary" not in str(end.value)
