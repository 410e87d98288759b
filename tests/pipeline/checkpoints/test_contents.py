import re

import pytest

from pipeline.checkpoints.contents import require_checkpoint
from pipeline.errors import ConfigError


@pytest.mark.parametrize("config", ["config.json", "params.json"])
def test_a_configuration_and_safetensors_make_a_checkpoint(config: str) -> None:
    require_checkpoint("/m", ["README.md", config, "model-00001.safetensors", "pytorch_model.bin"])


@pytest.mark.parametrize(
    ("names", "refusal"),
    [
        ([], "no config.json or params.json in it"),
        (["model.safetensors"], "no config.json or params.json in it"),
        (["config.json"], "only safetensors are read$"),
        (
            ["config.json", "b.pth", "a.bin"],
            re.escape("(a.bin, b.pth cannot be used: loading them could run code)"),
        ),
    ],
)
def test_a_folder_without_them_is_refused(names: list[str], refusal: str) -> None:
    with pytest.raises(ConfigError, match=refusal) as refused:
        require_checkpoint("s3://key:canary@bucket/m", names)
    assert str(refused.value).startswith("model.path: s3://bucket/m: ")
