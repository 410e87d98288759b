"""What all sections refuse alike, and sections that do not fit each other."""

from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from tests.pipeline.config.test_job import GENERATE, LABEL, load


@pytest.mark.parametrize(
    ("device", "key", "sentence"),
    [
        ("cpu", "model.attention=flash", "model.attention: flash is for GPUs, but engine.device is cpu"),
        ("gpu", "model.quantization=int8", "model.quantization: int8 is for CPUs, but engine.device is gpu"),
    ],
)
def test_what_the_device_cannot_do_is_found_without_a_cluster(
    tmp_path: Path, device: str, key: str, sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        load(tmp_path, LABEL, f"engine.device={device}", key)
    load(tmp_path, LABEL, key)


def test_no_flag_stands_for_a_number_in_a_list(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"generation\.stop_token_ids: must be a number, not true or false"):
        load(tmp_path, GENERATE, "generation.stop_token_ids=[2, true]")
