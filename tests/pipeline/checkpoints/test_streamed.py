"""Weights read by ranges from stores of each kind: the same bytes, and each fault is one sentence."""

import pickle
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

import pipeline.checkpoints.remote_folder
import pipeline.checkpoints.streamed
import pipeline.storage.retries
from model.checkpoint.safetensors_files import open_weights
from pipeline.checkpoints.fingerprint import checkpoint_fingerprint
from pipeline.checkpoints.location import locate
from pipeline.errors import ConfigError, JobError
from pipeline.storage.amazon import AmazonFileSystem
from pipeline.storage.urls import filesystem
from tests.pipeline.checkpoints.test_remote_folder import upload
from tests.pipeline.conftest import write
from tests.pipeline.storage.bad_network import BadNetwork, Fate, seeded

PIECE = 100_000


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A checkpoint never comes to the disk; ranges are small, so that there are many."""
    monkeypatch.setenv("MIXTRAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pipeline.checkpoints.streamed, "PIECE", PIECE)
    yield tmp_path / "cache"
    assert not [*(tmp_path / "cache").rglob("*.safetensors*")]


@pytest.fixture
def checkpoint(checkpoint: Path) -> Path:
    rng = np.random.default_rng(0)
    tensors = {name: rng.random((300, 700)).astype(np.float32) for name in "abc"}
    save_file(tensors, checkpoint / "model.safetensors")
    return checkpoint


def test_fingerprint_and_bytes_are_those_of_the_files(place: str, checkpoint: Path) -> None:
    located = locate(upload(checkpoint, place if "://" in place else f"local://{place}"))
    weights = pickle.loads(pickle.dumps(located.streamed()))
    assert checkpoint_fingerprint(located.folder, weights=weights) == checkpoint_fingerprint(checkpoint)
    with (
        open_weights(weights.open("model.safetensors")) as streamed,
        open_weights(checkpoint / "model.safetensors") as stored,
    ):
        for name in stored.keys():  # noqa: SIM118
            assert streamed.get_tensor(name).equal(stored.get_tensor(name))
    weights.require_unchanged()


def test_a_file_that_changes_while_it_is_read_is_noticed(place: str, checkpoint: Path) -> None:
    url = upload(checkpoint, place if "://" in place else f"local://{place}")
    weights = locate(url).streamed()
    file = weights.open("model.safetensors")
    data = (checkpoint / "model.safetensors").read_bytes()
    write(f"{url}/model.safetensors", data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ConfigError, match=r"^model\.path: .*/model\.safetensors: was changed while it was"):
        weights.require_unchanged()
    write(f"{url}/model.safetensors", data[: 2 * PIECE])
    for start in (150_000, 200_000):  # the file ends in the range, and before it
        with pytest.raises(ConfigError, match="cut short") as short:
            file.read_into(memoryview(bytearray(PIECE)), start)
        assert f"model.safetensors, bytes {start} to {start + PIECE - 1}" in str(short.value)
    fs, path = filesystem(f"{url}/model.safetensors")
    fs.rm(path)
    with pytest.raises(ConfigError, match="was changed while it was read"):
        weights.require_unchanged()


def test_an_upload_that_was_cut_short_is_no_safetensors_file(checkpoint: Path) -> None:
    file = checkpoint / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-PIECE])
    located = locate(upload(checkpoint, "memory://cut"))
    with pytest.raises(ConfigError, match=r"^model\.path: memory://cut/model/model\.safetensors: not a safe"):
        checkpoint_fingerprint(located.folder, weights=located.streamed())


@pytest.fixture
def behind(s3_url: str, s3_endpoint: str, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The checkpoint in S3, whose client does not retry by itself."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(AmazonFileSystem, "retries", 1)
    yield upload(checkpoint, s3_url)
    AmazonFileSystem.clear_instance_cache()


def read_through(url: str, endpoint: str, fate: Fate) -> bytes:
    """All bytes of the weights, by a client that meets this fate behind the listing."""
    weights = locate(url).streamed()
    with BadNetwork(endpoint, fate) as network, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", network.url)
        AmazonFileSystem.clear_instance_cache()
        try:
            file = weights.open("model.safetensors")
            data = bytearray(file.size)
            file.read_into(memoryview(data), 0)
            return bytes(data)
        finally:
            AmazonFileSystem.clear_instance_cache()


def test_ranges_are_read_again_until_they_come(behind: str, s3_endpoint: str, checkpoint: Path) -> None:
    met: list[str | None] = []
    dice = seeded(3, 0.4)

    def fate(method: str, path: str) -> str | None:
        met.append(dice(method, path))
        return met[-1]

    assert read_through(behind, s3_endpoint, fate) == (checkpoint / "model.safetensors").read_bytes()
    assert len([one for one in met if one]) > 5


def test_a_range_that_fails_is_told_with_its_file(
    behind: str, s3_endpoint: str, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = rf"^model\.path: .*{behind}/model\.safetensors, bytes \d+ to \d+"
    dice = Random(0)
    with pytest.raises(ConfigError, match=where) as refused:
        read_through(behind, s3_endpoint, lambda *_: "denied" if dice.random() < 0.2 else None)
    assert "HTTP 403" in str(refused.value)
    assert "canary" not in str(refused.value)
    monkeypatch.setattr(pipeline.storage.retries, "DEADLINE_SECONDS", 0.5)
    with pytest.raises(
        JobError, match=where + r": no success within .*run the same command again"
    ) as given_up:
        read_through(behind, s3_endpoint, lambda *_: "refused")
    assert given_up.value.exit_code == 1


def test_a_server_that_cannot_read_ranges_is_named(behind: str, s3_endpoint: str) -> None:
    with pytest.raises(ConfigError, match=r"the server sends the whole file.*set model\.fetch to cache"):
        read_through(behind, s3_endpoint, lambda *_: "whole")


def test_a_disk_without_room_is_told_before_anything_is_fetched(
    checkpoint: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    located = locate(upload(checkpoint, "memory://large"))
    small = SimpleNamespace(free=1_000_000)
    monkeypatch.setattr(pipeline.checkpoints.remote_folder.shutil, "disk_usage", lambda _: small)
    what = r"0\.0 GB are to be fetched into .*, where 0\.0 GB are free: set MIXTRAY_CACHE .* to stream$"
    with pytest.raises(ConfigError, match=rf"^model\.path: memory://large/model: {what}"):
        located.whole()
