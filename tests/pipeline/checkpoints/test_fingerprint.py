from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from pipeline.checkpoints.fingerprint import checkpoint_fingerprint
from pipeline.errors import ConfigError


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
    for name in ("README.md", "model.fp16.safetensors", "consolidated.safetensors", "params.json"):
        (checkpoint / name).write_text("more")
    assert checkpoint_fingerprint(checkpoint) == before, "no run reads these"
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


@pytest.mark.parametrize(
    ("size", "place", "noticed"),
    [
        (192 << 10, 100 << 10, True),  # three samples of 64 KiB are all of it
        (1 << 20, 0, True),
        (1 << 20, (64 << 10) - 1, True),
        (1 << 20, 64 << 10, False),
        (1 << 20, 1 << 19, True),  # the middle
        (1 << 20, (1 << 20) - (64 << 10) - 1, False),
        (1 << 20, (1 << 20) - 1, True),
    ],
)
def test_one_changed_byte_is_noticed_where_a_sample_is(
    checkpoint: Path, size: int, place: int, noticed: bool
) -> None:
    """As the docstring and docs/checkpoints.md say."""
    weights = np.zeros(size, dtype=np.uint8)
    save_file({"w": weights}, checkpoint / "model.safetensors")
    before = checkpoint_fingerprint(checkpoint)
    weights[place] = 1
    save_file({"w": weights}, checkpoint / "model.safetensors")
    assert (checkpoint_fingerprint(checkpoint) != before) == noticed
