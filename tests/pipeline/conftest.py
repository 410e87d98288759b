"""Places to test on: a local folder, memory:// and an S3 server."""

import uuid
from pathlib import Path

import fsspec
import pytest


@pytest.fixture(params=["local", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty folder of each kind, as a path or URL."""
    if request.param == "local":
        return str(tmp_path / "place")
    if request.param == "memory":
        return f"memory://{uuid.uuid4().hex}"
    url: str = request.getfixturevalue("s3_url")
    return url


def write(url: str, data: bytes) -> str:
    """Put a file anywhere and return where."""
    fs, path = fsspec.url_to_fs(url)
    fs.makedirs(path.rpartition("/")[0], exist_ok=True)
    fs.pipe_file(path, data)
    return url
