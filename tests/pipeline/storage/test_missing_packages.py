"""A job at a store whose package is not installed: every command says what to install, with exit code 2."""

import pickle
import sys

import pytest
from typer.testing import CliRunner

from jobs.__main__ import app
from pipeline.errors import ConfigError
from pipeline.storage.open_store import open_store

DEMO = "configs/demo/job.yaml"
MISSING = {
    "s3": ("s3://b/x", "s3fs", "s3fs is not installed: pip install 'mixtray[s3]'"),
    "gcs": ("gs://b/x", "gcsfs", "gcsfs is not installed: pip install 'mixtray[gcs]'"),
    "hf": (
        "hf://acme/tiny",
        "huggingface_hub",
        "huggingface_hub is not installed: pip install 'mixtray[hf]'",
    ),
}


@pytest.fixture(params=MISSING)
def missing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """A URL, and what to install for it."""
    url, package, command = MISSING[request.param]
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, url.partition(":")[0], raising=False)
    return url, command


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize("key", ["input.path", "model.path", "output.path"])
def test_the_command_that_installs_it_is_told(key: str, command: str, missing: tuple[str, str]) -> None:
    url, what = missing
    if key == "output.path" and url.startswith("hf:"):
        what = "no atomic create is known"
    result = CliRunner().invoke(app, [command, DEMO, "--set", f"{key}={url}"])
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith(f"error: {key}: {url}: {what}")


@pytest.mark.usefixtures("local_ray")
def test_the_doctor_tells_it_too(missing: tuple[str, str]) -> None:
    url, what = missing
    result = CliRunner().invoke(app, ["doctor", DEMO, "--set", f"input.path={url}"], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert f"problem input      input.path: {url}: {what}" in result.stdout


def test_a_store_is_unpacked_where_its_package_is_missing(
    monkeypatch: pytest.MonkeyPatch, s3_url: str
) -> None:
    """So that a worker says what it lacks, and Ray no longer that it cannot unpickle."""
    packed = pickle.dumps(open_store(s3_url))
    monkeypatch.setattr("pipeline.storage.urls._own_class", _missing)
    with pytest.raises(ConfigError, match=r"pip install 'mixtray\[s3\]'"):
        pickle.loads(packed).read("a")


def _missing(kind: str) -> object:
    raise ImportError("no s3fs", name="s3fs")
