import multiprocessing
from pathlib import Path

import pytest

from pipeline.checkpoints.fingerprint import checkpoint_fingerprint
from pipeline.checkpoints.location import local_checkpoint
from pipeline.errors import ConfigError
from tests.pipeline.conftest import write


def test_a_local_folder_is_itself(checkpoint: Path) -> None:
    assert local_checkpoint(str(checkpoint)) == checkpoint
    assert local_checkpoint(f"file://{checkpoint}") == checkpoint


def test_what_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere: no such folder"):
        local_checkpoint(str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match=r"no such folder"):
        local_checkpoint("memory://nowhere")


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no config.json or params.json"):
        local_checkpoint(str(tmp_path))


def test_a_url_is_downloaded_once(
    place: str, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIXTRAY_CACHE", str(tmp_path / "cache"))
    url = place if "://" in place else f"local://{place}"
    for file in checkpoint.iterdir():
        write(f"{url}/model/{file.name}", file.read_bytes())
    first = local_checkpoint(f"{url}/model")
    assert sorted(file.name for file in first.iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.model",
    ]
    assert checkpoint_fingerprint(first) == checkpoint_fingerprint(checkpoint)
    (first / "marker").touch()
    assert (local_checkpoint(f"{url}/model") / "marker").exists()
    write(f"{url}/model/config.json", b'{"hidden_size": 16}')
    assert local_checkpoint(f"{url}/model") != first


def test_processes_that_ask_at_once_share_one_download(
    s3_url: str, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIXTRAY_CACHE", str(tmp_path / "cache"))
    for file in checkpoint.iterdir():
        write(f"{s3_url}/{file.name}", file.read_bytes())
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        folders = set(pool.map(local_checkpoint, [s3_url] * 3))
    [folder] = folders
    assert checkpoint_fingerprint(folder) == checkpoint_fingerprint(checkpoint)
    assert [path.name for path in (tmp_path / "cache/checkpoints").iterdir() if path.is_dir()] == [
        folder.name
    ]
