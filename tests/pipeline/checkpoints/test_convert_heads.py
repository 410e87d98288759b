"""Checkpoints with other heads than a language model's, written anew and read back by transformers."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file

from pipeline.checkpoints.convert import convert
from tests import conftest
from tests.conftest import HFCheckpoint

PROMPT = torch.tensor([[1, 733, 16289, 5, 31999]])
hf = conftest.checkpoint  # in this folder the fixture of that name is another


def outputs(model: Any) -> list[torch.Tensor]:
    with torch.inference_mode():
        return [*model.eval()(PROMPT, use_cache=False).values()]


@pytest.mark.parametrize("pickles", [False, True])
@pytest.mark.parametrize("suffix", ["ForSequenceClassification", "ForQuestionAnswering", "Model"])
def test_a_head_stays_what_it_is(suffix: str, pickles: bool, hf: HFCheckpoint, tmp_path: Path) -> None:
    torch.manual_seed(0)
    kind = getattr(transformers, f"Mixtral{suffix}")
    config = hf.model.config.to_dict() | {"architectures": None, "dtype": None, "pad_token_id": None}
    model, source = kind(transformers.MixtralConfig(**config)), tmp_path / "from"
    model.save_pretrained(source)
    shutil.copy(hf.folder / "tokenizer.model", source)
    if pickles:
        torch.save(load_file(source / "model.safetensors"), source / "pytorch_model.bin")
        (source / "model.safetensors").unlink()
    convert(source, tmp_path / "to", lambda *_: None, pickles=pickles)
    written, loading = kind.from_pretrained(tmp_path / "to", output_loading_info=True)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    assert all(torch.equal(one, other) for one, other in zip(outputs(written), outputs(model), strict=True))
    assert json.loads((tmp_path / "to/config.json").read_text())["architectures"] == [kind.__name__]
