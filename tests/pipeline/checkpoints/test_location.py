import json
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from pipeline.checkpoints.location import checkpoint_fingerprint, local_checkpoint
from pipeline.errors import ConfigError
from tests.pipeline.conftest import write


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"hidden_size": 8}))
    (folder / "tokenizer.model").write_bytes(b"pieces")
    (folder / "README.md").write_text("about")
    rng = np.random.default_rng(0)
    save_file({"w": rng.random((1024, 2048)).astype(np.float32)}, folder / "model.safetensors")  # 8 MiB
    return folder


def test_a_local_folder_is_itself(checkpoint: Path) -> None:
    assert local_checkpoint(str(checkpoint)) == checkpoint
    assert local_checkpoint(f"file://{checkpoint}") == checkpoint


def test_folders_that_are_no_checkpoint_are_told_apart(tmp_path: Path, checkpoint: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere: no such folder"):
        local_checkpoint(str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match=r"no such folder"):
        local_checkpoint("memory://nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"no config.json or params.json"):
        local_checkpoint(str(tmp_path / "empty"))
    (checkpoint / "model.safetensors").rename(checkpoint / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"only safetensors are read \(pytorch_model.bin cannot be used"):
        local_checkpoint(str(checkpoint))
    (checkpoint / "pytorch_model.bin").unlink()
    with pytest.raises(ConfigError, match=r"only safetensors are read$"):
        checkpoint_fingerprint(checkpoint)


def with_header(header: bytes) -> bytes:
    """A safetensors file with 8 bytes of tensors."""
    return len(header).to_bytes(8, "little") + header + bytes(8)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        b"\xff" * 100,
        (50).to_bytes(8, "little") + b"{}",
        with_header(b"{no JSON"),
        with_header(b"[]"),
        with_header(b'{"w": {"dtype": "F32", "shape": [2]}}'),
        with_header(b'{"w": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}'),
        with_header(b'{"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}'),
        with_header(b'{"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, -8]}}'),
    ],
)
def test_what_is_no_safetensors_file_is_refused(checkpoint: Path, content: bytes) -> None:
    (checkpoint / "model.safetensors").write_bytes(content)
    with pytest.raises(ConfigError, match=r"model\.safetensors: not a safetensors file.*fetch it again"):
        checkpoint_fingerprint(checkpoint)


def test_the_fingerprint_follows_the_weights_and_configs_only(checkpoint: Path) -> None:
    before = checkpoint_fingerprint(checkpoint)
    (checkpoint / "README.md").write_text("more")
    assert checkpoint_fingerprint(checkpoint) == before
    weights = checkpoint / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data.replace(b'"w"', b'"v"', 1))
    assert checkpoint_fingerprint(checkpoint) != before
    weights.write_bytes(data)
    assert checkpoint_fingerprint(checkpoint) == before
    (checkpoint / "config.json").write_text("{}")
    assert checkpoint_fingerprint(checkpoint) != before


ELEMENTS = {"embedding": 2_000_000, "experts": 70_000, "gate": 32, "head": 16_385, "norm": 7, "unused": 0}


@pytest.mark.parametrize("trained", [name for name, size in ELEMENTS.items() if size])
def test_one_tensor_trained_anew_is_another_model(trained: str, checkpoint: Path) -> None:
    rng = np.random.default_rng(0)
    tensors = {name: rng.random(size, dtype=np.float32) for name, size in ELEMENTS.items()}
    save_file(tensors, checkpoint / "model.safetensors")
    before = checkpoint_fingerprint(checkpoint)
    save_file(tensors | {trained: tensors[trained] * np.float32(1.01)}, checkpoint / "model.safetensors")
    assert checkpoint_fingerprint(checkpoint) != before


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
