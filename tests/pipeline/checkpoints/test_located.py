from pathlib import Path

import pytest

from pipeline.checkpoints.located import Located, judging_files
from pipeline.errors import ConfigError


def test_configuration_and_tokenizer_come_before_weights() -> None:
    needed = [
        "added_tokens.json", "chat_template.jinja", "config.json", "generation_config.json",
        "model.safetensors.index.json", "sentencepiece.bpe.model", "special_tokens_map.json", "tekken.json",
        "tokenizer.json", "tokenizer.model", "tokenizer.model.v3", "tokenizer.model.v7",
        "tokenizer_config.json",
    ]  # fmt: skip
    others = [
        "README.md", "model.safetensors", "pytorch_model.bin", "pytorch_model.bin.index.json", "logo.png",
        "trainer_state.json", "training_args.bin", "optimizer.pt", "model.safetensors.index.fp16.json",
    ]  # fmt: skip
    assert judging_files([*others, *needed]) == needed


def test_what_is_wrong_is_told_by_the_name_that_the_job_gave(tmp_path: Path) -> None:
    located = Located("s3://b/m", "s3://b/m", tmp_path, [], lambda weights: tmp_path)
    for raised, told in (
        (ValueError(f"{tmp_path}/config.json: bad"), "model: s3://b/m/config.json: bad"),
        (FileNotFoundError(2, "gone", str(tmp_path / "x")), "model: [Errno 2] gone: 's3://b/m/x'"),
        (ConfigError(f"{tmp_path}: no tokenizer"), "s3://b/m: no tokenizer"),
    ):
        with pytest.raises(ConfigError) as refused, located.naming():
            raise raised
        assert str(refused.value) == told
