"""The filesystem of a URL, what is missing for it, and errors of the storage that Arrow would hide."""

import io
import os
import sys

import pytest

from pipeline.errors import ConfigError
from pipeline.storage.urls import WatchedFile, filesystem, local_path


@pytest.mark.parametrize(
    ("url", "missing", "command"),
    [
        ("s3://bucket/x", "s3fs", "s3fs is not installed: pip install 'mixtray[s3]'"),
        ("s3://bucket/x", "aiobotocore", "aiobotocore is not installed: pip install 'mixtray[s3]'"),
        ("gs://bucket/x", "gcsfs", "gcsfs is not installed: pip install 'mixtray[gcs]'"),
        (
            "hf://datasets/a/b",
            "huggingface_hub",
            "huggingface_hub is not installed: pip install 'mixtray[hf]'",
        ),
        ("sftp://host/x", "paramiko", "paramiko is not installed: pip install paramiko"),
        ("abfs://container/x", "adlfs", "adlfs is not installed: pip install adlfs"),
    ],
)
def test_a_missing_package_is_told_with_the_command_that_installs_it(
    url: str, missing: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = url.partition(":")[0]
    modules = ("s3fs", "gcsfs", "huggingface_hub", "pipeline.storage.amazon", "fsspec.implementations.sftp")
    for name in [name for name in sys.modules if name.startswith(modules)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, kind, raising=False)
    with pytest.raises(ConfigError) as refused:
        filesystem(url)
    assert str(refused.value) == f"{url}: {command}"


@pytest.mark.parametrize("url", ["nowhere://x", "github://x/y"])
def test_a_kind_of_url_that_nothing_can_read_is_told(url: str) -> None:
    with pytest.raises(ConfigError, match="no such kind of URL can be read"):
        filesystem(url)


def test_a_local_name_is_never_a_chain_of_urls() -> None:
    fs, path = filesystem("/in/zip::a.jsonl")
    assert ("file" in fs.protocol, path) == (True, "/in/zip::a.jsonl")


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


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("/in//a/", "/in/a"),
        ("//in/./a", "/in/a"),
        ("file:///in//*//a", "/in/*/a"),
        ("/in/link/../a", "/in/link/../a"),
        ("/", "/"),
        ("in//a", "{cwd}/in/a"),
        ("./in", "{cwd}/in"),
        ("~nobody-has-this-name/a", "{cwd}/~nobody-has-this-name/a"),
    ],
)
def test_a_local_path_begins_at_the_root_and_has_single_slashes(given: str, path: str) -> None:
    assert local_path(given) == path.format(cwd=os.getcwd())
    assert filesystem(given)[1] == local_path(given)
