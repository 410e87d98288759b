"""hf:// against a server that answers as the Hugging Face hub does, through huggingface_hub itself."""

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest

from pipeline.checkpoints.fingerprint import checkpoint_fingerprint
from pipeline.checkpoints.location import locate
from pipeline.errors import ConfigError, JobError
from tests.pipeline.checkpoints.hub_server import COMMIT, GATED, TOKEN, Hub


@pytest.fixture
def hub(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    for name in ("pytorch_model.bin", "consolidated.safetensors", "model.fp16.safetensors", "logo.png"):
        (checkpoint / name).write_bytes(b"beside")
    with Hub(repositories={"acme/tiny": checkpoint, GATED: checkpoint}).serving() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        yield hub


def test_what_is_needed_is_fetched_once_and_is_the_same_checkpoint(
    hub: Hub, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    located = locate("hf://acme/tiny")
    assert sorted(hub.fetched) == ["config.json", "tokenizer.model"], "weights wait until these are judged"
    folder = located.whole()
    assert sorted(hub.fetched) == ["config.json", "model.safetensors", "tokenizer.model"]
    assert checkpoint_fingerprint(folder) == checkpoint_fingerprint(checkpoint)
    assert located.pinned == f"hf://acme/tiny@{COMMIT}", "replicas must not follow a branch that moves"

    hub.fetched.clear()
    for url in ("hf://acme/tiny", "hf://acme/tiny/", "hf://acme/tiny@main", located.pinned):
        assert locate(url).whole() == folder
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert locate("hf://acme/tiny").whole() == folder
    with pytest.raises(JobError, match=r"^model\.path: hf://acme/other: cannot be fetched"):
        locate("hf://acme/other").whole()
    assert hub.fetched == []


def test_a_token_opens_a_gated_repository(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ConfigError, match=rf"^model\.path: hf://{GATED}: .* gated: .*HF_TOKEN.*hf auth login"
    ):
        locate(f"hf://{GATED}").whole()
    monkeypatch.setenv("HF_TOKEN", "hf_canaryThatIsWrong")
    with pytest.raises(
        ConfigError, match=r"does not accept the token \(HTTP 401\): give another in"
    ) as refused:
        locate(f"hf://{GATED}").whole()
    assert "canary" not in str(refused.value)
    assert refused.value.__suppress_context__
    assert hub.fetched == []
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert (locate(f"hf://{GATED}").whole() / "model.safetensors").exists()


def test_a_repository_of_another_kind_is_named_as_what_it_is(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "gguf" / "onnx").mkdir(parents=True)
    for name in ("README.md", "tiny.Q4_K_M.gguf", "onnx/model.safetensors"):
        (tmp_path / "gguf" / name).write_bytes(b"")
    hub.repositories["acme/gguf"] = tmp_path / "gguf"
    with pytest.raises(ConfigError, match=r"^model: hf://acme/gguf: tiny\.Q4_K_M\.gguf is in GGUF"):
        locate("hf://acme/gguf").whole()
    assert hub.fetched == []


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("hf://acme/none", "there is no such repository, or it is private: check the name, or give a token"),
        ("hf://acme/tiny@v2", "the repository has no such revision"),
        ("hf://acme", "write it as hf://org/name or hf://org/name@revision"),
        ("hf://datasets/acme/tiny", "write it as hf://org/name or hf://org/name@revision"),
    ],
)
def test_what_the_hub_does_not_have_is_told(hub: Hub, url: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=rf"^model\.path: {url}: {sentence}"):
        locate(url).whole()


def test_a_hub_that_cannot_be_reached_is_the_machine_s_fault(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    what = r"cannot be fetched \(\w+\): run it again .* HF_HUB_OFFLINE=1"
    with pytest.raises(JobError, match=rf"^model\.path: hf://acme/tiny: {what}") as raised:
        locate("hf://acme/tiny").whole()
    assert raised.value.exit_code == 1
