"""Sentences about a job file: which key was meant, and where YAML goes wrong."""

import pytest
import yaml
from pydantic import ValidationError

from pipeline.config.explain import config_error, sections_of, yaml_location
from pipeline.config.job import JobConfig
from pipeline.config.section import Section


def explained(data: object) -> str:
    with pytest.raises(ValidationError) as raised:
        JobConfig.model_validate(data)
    return str(config_error("job.yaml", JobConfig, raised.value))


def test_every_fault_is_told_once_behind_the_file_s_name() -> None:
    sentence = explained({"job": "x", "task": "label", "inptu": {}, "model": {"path": "m", "dtpye": "auto"}})
    assert sentence.startswith("job.yaml: ")
    assert "inptu: unknown key; did you mean input?" in sentence
    assert "model.dtpye: unknown key; did you mean model.dtype?" in sentence
    assert "output: Field required" in sentence
    assert sentence.count("inptu") == 1


def test_a_key_of_another_section_is_found_there() -> None:
    data = {"job": "x", "task": "label", "model": {"path": "m", "shard_rows": 5, "qqqq": 1}}
    assert "model.shard_rows: unknown key; did you mean input.shard_rows?" in explained(data)
    assert "model.qqqq: unknown key; input:" in explained(data), "nothing is like it"


def test_the_sections_of_a_model_are_its_keys_that_hold_keys() -> None:
    sections = sections_of(JobConfig)
    assert {"model", "input", "engine", "label", "generation"} <= sections.keys()
    assert all(issubclass(section, Section) for section in sections.values())
    assert "job" not in sections
    assert "prompt" in sections_of(sections["input"])


def test_a_line_of_yaml_is_named_and_not_quoted() -> None:
    with pytest.raises(yaml.YAMLError) as raised:
        yaml.safe_load("a: 1\nsecret: [canary")
    assert yaml_location(raised.value).startswith(": line 2, column ")
    assert "canary" not in yaml_location(raised.value)
    assert yaml_location(ValueError("no place")) == ""
