"""A small checkpoint to find, to download and to take the fingerprint of."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file


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
