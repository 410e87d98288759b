"""Which layers' hidden states a job writes, and how much that is."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.config.job import JobConfig
from pipeline.config.output import HiddenStatesSection
from pipeline.errors import ConfigError
from pipeline.preflight.forecast import forecast
from pipeline.preflight.hidden_states import state_bytes, states_facts
from pipeline.preflight.job import check_job
from pipeline.replicas.hidden_states import HiddenStatesSample

MakeConfig = Callable[..., JobConfig]


def test_layers_of_hidden_states_are_those_that_the_model_has(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    def layers(*wanted: int) -> list[int]:
        output = {"path": str(tmp_path / "out"), "hidden_states": {"layers": list(wanted)}}
        return check_job(make_config([], output=output)).hidden_layers

    assert layers(-1, 0, 3) == [0, 3]
    assert layers(-4, 2) == [0, 2]
    for layer in (4, -5):
        with pytest.raises(ConfigError, match="layers: a model of 3 layers has 0 to 3, or -4 to -1, got"):
            layers(layer)
    assert check_job(make_config([])).hidden_layers == []


def test_a_state_takes_so_many_bytes_of_a_file() -> None:
    row = {"id": "r0", "file": "f", "row": 0, "prompt_token_ids": [1] * 50}
    states = np.random.default_rng(0).normal(size=(50, 3, 256)).astype(np.float32)
    data = HiddenStatesSample(HiddenStatesSection(), range(3), 256, 1).file([(row, states)])
    assert len(pq.read_table(io.BytesIO(data))) == 150
    assert 1 <= len(data) / (50 * state_bytes(3, 256)) <= 1.1


def test_plan_tells_what_a_sample_takes(make_config: MakeConfig, tmp_path: Path) -> None:
    def fact(rows: int) -> Any:
        output = {"path": str(tmp_path / "out"), "hidden_states": {"layers": [0, -1], "rows": rows}}
        config = make_config([{"ids": [5] * 20}, {"ids": [5] * 40}] * 4, output=output)
        return dict(forecast(config).facts)["hidden states"]

    in_all, row = ", and at most 0.2 GiB of a replica's memory", 30 * 2 * 32 * 4 / 2**20
    assert fact(3) == f"3 rows, 2 layers: about {3 * row:.1f} MiB of files{in_all}"
    assert fact(500) == f"8 rows, 2 layers: about {8 * row:.1f} MiB of files{in_all}"
    assert "hidden states" not in dict(forecast(make_config([{"ids": [5]}])).facts)


def test_a_long_prompt_takes_more_than_a_group(make_config: MakeConfig, tmp_path: Path) -> None:
    output = {"path": str(tmp_path / "out"), "hidden_states": {"rows": 1000}}
    config = make_config([], output=output)
    [(name, words)] = states_facts(config, [0, 16, 32], 4096, 2048, [500, 32_000])
    assert name == "hidden states"
    assert words == (
        "1,000 rows, 3 layers: about 743.9 GiB of files, and at most 5.9 GiB of a replica's memory"
    ), "4 copies of 32,000 tokens x 3 layers x 4,096 numbers x 4 bytes"
    assert states_facts(config, [0], 4096, 2048, []) == []
