"""A job at an object store whose package is not installed is told which extra to install."""

import sys

import pytest

from pipeline.checkpoints.location import locate
from pipeline.config.input import InputSection
from pipeline.errors import ConfigError
from pipeline.reading.files import expand
from pipeline.storage.open_store import open_store


@pytest.mark.parametrize(
    ("url", "package", "extra"), [("s3://b/x", "s3fs", "s3"), ("gs://b/x", "gcsfs", "gcs")]
)
def test_the_extra_is_told(url: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    imported_before = sys.modules["fsspec.registry"]._registry
    monkeypatch.delitem(imported_before, url.partition(":")[0], raising=False)
    what = rf"{url}: .*{package} is not installed: pip install 'mixtray\[{extra}\]'"
    with pytest.raises(ConfigError, match=f"output.path: {what}"):
        open_store(url)
    with pytest.raises(ConfigError, match=f"model.path: {what}"):
        locate(url).whole()
    with pytest.raises(ConfigError, match=f"input.path: {what}"):
        expand(InputSection.model_validate({"path": url, "prompt": {"column": "text"}}))


def test_the_extra_of_the_hub_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    what = r"huggingface_hub is not installed: pip install 'mixtray\[hf\]'"
    with pytest.raises(ConfigError, match=f"model.path: hf://acme/tiny: {what}"):
        locate("hf://acme/tiny").whole()
