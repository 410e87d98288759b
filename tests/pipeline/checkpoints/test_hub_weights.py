"""Weights of the hub read by ranges, through huggingface_hub's own client, with nothing in its cache."""

import pickle
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest

import pipeline.checkpoints.streamed
import pipeline.storage.retries
from pipeline.checkpoints.fingerprint import checkpoint_fingerprint
from pipeline.checkpoints.location import locate
from pipeline.errors import ConfigError, JobError
from tests.pipeline.checkpoints.hub_server import GATED, TOKEN, Hub


@pytest.fixture
def hub(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub(repositories={"acme/tiny": checkpoint, GATED: checkpoint}).serving() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(pipeline.checkpoints.streamed, "PIECE", 1_000_000)
        yield hub
    assert not [*(tmp_path / "hub").rglob("*.safetensors")]


def all_bytes(url: str) -> bytes:
    file = pickle.loads(pickle.dumps(locate(url).streamed())).open("model.safetensors")
    data = bytearray(file.size)
    file.read_into(memoryview(data), 0)
    return bytes(data)


def test_fingerprint_and_bytes_are_those_of_the_files(hub: Hub, checkpoint: Path) -> None:
    located = locate("hf://acme/tiny")
    weights = located.streamed()
    assert checkpoint_fingerprint(located.folder, weights=weights) == checkpoint_fingerprint(checkpoint)
    assert all_bytes("hf://acme/tiny") == (checkpoint / "model.safetensors").read_bytes()
    weights.require_unchanged()


def test_a_gated_repository_is_read_with_a_token(
    hub: Hub, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    weights = locate(f"hf://{GATED}").streamed()
    assert all_bytes(f"hf://{GATED}") == (checkpoint / "model.safetensors").read_bytes()
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ConfigError, match=r"^model\.path: .*HTTP 403.*hf://acme/gated/model\.safetensors"):
        weights.open("model.safetensors")


def test_a_mirror_that_cannot_read_ranges_is_named(hub: Hub) -> None:
    hub.ranges = False
    what = r"hf://acme/tiny/model\.safetensors, bytes \d+ to \d+: the server sends the whole file"
    with pytest.raises(ConfigError, match=rf"^model\.path: {what}.* set model\.fetch to cache"):
        all_bytes("hf://acme/tiny")


def test_a_hub_that_is_gone_is_given_up_with_the_file_named(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(pipeline.storage.retries, "DEADLINE_SECONDS", 0.5)
    with Hub(repositories={"acme/tiny": checkpoint}).serving() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        file = locate("hf://acme/tiny").streamed().open("model.safetensors")
    huggingface_hub.close_session()
    with pytest.raises(
        JobError, match=r"hf://acme/tiny/model\.safetensors, bytes 0 to 7: no success"
    ) as gone:
        file.read_into(memoryview(bytearray(8)), 0)
    assert gone.value.exit_code == 1


def test_offline_nothing_is_asked(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    locate("hf://acme/tiny")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match=r"^model\.fetch: hf://acme/tiny: .* the hub with HF_HUB_OFFLINE=1"):
        locate("hf://acme/tiny").streamed()
