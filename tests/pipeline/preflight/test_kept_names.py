"""The names that `keep: "*"` finds in the files must be free, as named ones must."""

from collections.abc import Callable
from typing import Any

import pytest

from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError
from pipeline.preflight.doctor import _input
from pipeline.preflight.forecast import forecast
from pipeline.preflight.job import check_job
from pipeline.preflight.job_plan import load_or_make_plan
from pipeline.storage.open_store import open_store

MakeConfig = Callable[..., JobConfig]


def plan(config: JobConfig) -> None:
    load_or_make_plan(check_job(config), open_store(config.output.path), extending=False)


@pytest.mark.parametrize("command", [plan, forecast, lambda config: list(_input(config))])
def test_a_column_of_a_taken_name_is_refused_with_the_way_out(
    make_config: MakeConfig, command: Callable[[JobConfig], Any]
) -> None:
    rows = [{"ids": [1], "text": "x"}]
    config = make_config(rows, input={"keep": "*"})
    with pytest.raises(ConfigError, match=r"text is a column .* as in \{\"\*\": \"\*\", my_text: text\}"):
        command(config)
    command(make_config(rows, input={"keep": {"*": "*", "my_text": "text"}}))


def test_the_column_of_known_labels_must_be_among_them(make_config: MakeConfig) -> None:
    label = {"choices": ["a", "b"], "known_column": "gold"}
    sections: Any = {"task": "label", "prompt": {"column": "text"}, "label": label}
    sections["input"] = {"keep": "*", "chat": False}
    forecast(make_config([{"text": "x", "gold": "a"}], **sections))
    with pytest.raises(
        ConfigError, match=r"label.known_column 'gold' must be one of input.keep.* are text, n"
    ):
        forecast(make_config([{"text": "x", "n": 1}], **sections))
