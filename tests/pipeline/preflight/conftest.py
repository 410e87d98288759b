"""A tiny checkpoint in a published chat format."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.conftest import HFCheckpoint
from tests.pipeline.text.published_formats import published_formats


@pytest.fixture
def published_checkpoint(tmp_path: Path, checkpoint: HFCheckpoint) -> Callable[[str], Path]:
    """The suite's checkpoint with the tokenizer and the chat template of the format of that name."""

    def make(name: str) -> Path:
        [found] = [one for one in published_formats() if one.name == name]
        folder = Path(shutil.copytree(checkpoint.folder, tmp_path / name))
        shutil.copy(found.vocabulary, folder / "tokenizer.model")
        settings = json.loads(found.tokenizer_config()) | {"chat_template": found.source}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        size = max(32_000, *(token_id + 1 for token_id, _, _ in found.added_tokens))
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"vocab_size": size}))
        weights = load_file(folder / "model.safetensors")
        for key in ("model.embed_tokens.weight", "lm_head.weight"):
            weights[key] = torch.nn.functional.pad(weights[key], (0, 0, 0, size - len(weights[key])))
        save_file(weights, folder / "model.safetensors")
        return folder

    return make
