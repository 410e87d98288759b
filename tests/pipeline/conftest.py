"""Places to test on: a local folder, memory:// and a real S3 server on this machine."""

import os
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import boto3
import fsspec
import pytest
from moto.s3.responses import S3Response
from moto.server import ThreadedMotoServer


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """A local S3 server, and the environment in which this process and its children reach it."""
    lock = threading.Lock()
    put_object = S3Response.put_object

    def put_one_at_a_time(self: S3Response) -> object:
        # moto looks for the key and then writes it; S3 does both in one step
        with lock:
            return put_object(self)

    S3Response.put_object = put_one_at_a_time
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test-key",
        "AWS_SECRET_ACCESS_KEY": "canary-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    yield settings["AWS_ENDPOINT_URL"]
    server.stop()
    S3Response.put_object = put_object
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


@pytest.fixture
def s3_url(s3_endpoint: str) -> str:
    """A folder in a new bucket."""
    bucket = f"test-{uuid.uuid4().hex[:12]}"
    boto3.client("s3", endpoint_url=s3_endpoint).create_bucket(Bucket=bucket)
    return f"s3://{bucket}/folder"


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
