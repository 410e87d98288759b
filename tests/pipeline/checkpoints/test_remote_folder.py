import json
import multiprocessing
from pathlib import Path

import pytest

from pipeline.checkpoints.fingerprint import checkpoint_fingerprint
from pipeline.checkpoints.location import locate
from pipeline.errors import ConfigError
from tests.pipeline.conftest import write

BESIDE = ("README.md", "a.png", "pytorch_model.bin", "consolidated.safetensors", "model.fp16.safetensors")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIXTRAY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def upload(folder: Path, url: str) -> str:
    for file in folder.iterdir():
        write(f"{url}/model/{file.name}", file.read_bytes())
    return f"{url}/model"


def test_what_is_needed_at_a_url_is_downloaded_once(place: str, checkpoint: Path) -> None:
    for name in BESIDE:
        (checkpoint / name).write_bytes(b"beside")
    url = upload(checkpoint, place if "://" in place else f"local://{place}")
    first = locate(url).whole()
    assert sorted(file.name for file in first.iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.model",
    ]
    assert checkpoint_fingerprint(first) == checkpoint_fingerprint(checkpoint)
    (first / "config.json").write_bytes(b"{}")  # the cache's own is not fetched again
    assert (locate(url).whole() / "config.json").read_bytes() == b"{}"
    write(f"{url}/config.json", b'{"hidden_size": 16}')
    second = locate(url).whole()
    assert second != first
    assert (second / "config.json").read_bytes() == b'{"hidden_size": 16}'


def test_the_index_says_which_weights_are_fetched(checkpoint: Path) -> None:
    weights = (checkpoint / "model.safetensors").read_bytes()
    (checkpoint / "model.safetensors").unlink()
    for name in ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", *BESIDE):
        (checkpoint / name).write_bytes(weights)
    shards = {"a": "model-00002-of-00002.safetensors", "b": "model-00001-of-00002.safetensors"}
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    folder = locate(upload(checkpoint, "memory://by-index")).whole()
    assert sorted(file.name for file in folder.glob("*.safetensors")) == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]
    assert checkpoint_fingerprint(folder) == checkpoint_fingerprint(checkpoint)


def test_weights_are_fetched_only_once_the_configuration_is_judged(checkpoint: Path, cache: Path) -> None:
    (checkpoint / "config.json").write_text('{"quantization_config": {"quant_method": "hqq"}}')
    located = locate(upload(checkpoint, "memory://quantized"))
    assert sorted(file.name for file in located.folder.iterdir()) == ["config.json", "tokenizer.model"]
    with pytest.raises(
        ConfigError, match=r"^model: memory://quantized/model: the weights are quantized with hqq"
    ) as refused:
        located.whole()
    assert str(cache) not in str(refused.value)
    assert not [*cache.rglob("*.safetensors*")]


def test_a_download_that_broke_off_goes_on_with_the_files_that_are_missing(checkpoint: Path) -> None:
    located = locate(upload(checkpoint, "memory://broken"))
    (located.folder / "model.safetensors.part").write_bytes(b"half")
    tokenizer = (located.folder / "tokenizer.model").stat()
    folder = located.whole()
    assert (folder / "tokenizer.model").stat() == tokenizer
    assert (folder / "model.safetensors").read_bytes() == (checkpoint / "model.safetensors").read_bytes()
    assert not [*folder.glob("*.part")]


def fetched(url: str) -> Path:
    return locate(url).whole()


def test_processes_that_ask_at_once_share_one_download(s3_url: str, checkpoint: Path, cache: Path) -> None:
    url = upload(checkpoint, s3_url)
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        folders = set(pool.map(fetched, [url] * 3))
    [folder] = folders
    assert checkpoint_fingerprint(folder) == checkpoint_fingerprint(checkpoint)
    assert [path.name for path in (cache / "checkpoints").iterdir() if path.is_dir()] == [folder.name]
