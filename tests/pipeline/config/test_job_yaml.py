"""YAML as people write it: what PyYAML would silently read as something else."""

import datetime
from typing import Any

import pytest
import yaml

from pipeline.config.job_yaml import MisreadError, Respelled, no_text, read_yaml


@pytest.mark.parametrize(
    "text",
    [
        "a: {b: [1, -2, 0, 1.5, 1e3, .inf, ~, yes, 'yes', 2026-01-01]}\nc: x\n",
        "a: &a {x: 1, y: 2}\nb: &b {<<: *a, x: 3}\nc: {<<: *b, x: 4}\n",
        "? [1, 2]\n: x\n? [1, 3]\n: y\n",
        "1: a\n'1': b\n",
        "",
    ],
)
def test_plain_yaml_is_what_pyyaml_reads(text: str) -> None:
    if text.startswith("?"):  # no key that a dictionary can have
        with pytest.raises(yaml.YAMLError):
            read_yaml(text)
    else:
        assert read_yaml(text) == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("written", "number"), [("1_000", 1000), ("0x1F", 31), ("0b11", 3), ("+7", 7), ("-1_0", -10)]
)
def test_a_number_of_another_spelling_is_marked(written: str, number: int) -> None:
    [value] = read_yaml(f"[{written}]")
    assert isinstance(value, Respelled)
    assert (value, value.written) == (number, written)
    assert type(read_yaml(str(number))) is int


@pytest.mark.parametrize(
    ("written", "number"),
    [("010", "8"), ("-017", "-15"), ("00", "0"), ("12:30", "750"), ("1:00:00", "3600"), ("1:30.5", "90.5")],
)
def test_numbers_in_bases_that_no_one_means_are_refused(written: str, number: str) -> None:
    with pytest.raises(MisreadError) as raised:
        read_yaml(f"a: 1\nb: [{written}]\n")
    assert raised.value.problem == (
        f"YAML reads {written} as the number {number}, in base {60 if ':' in written else 8}: "
        f"write {number}, or put it in quotes if it is text"
    )
    assert raised.value.problem_mark.line == 1
    assert read_yaml(f"'{written}'") == written


@pytest.mark.parametrize(
    "text",
    ["a: 1\nb: 2\na: 1\n", "x: {a: 1, 'a': 2}", "- {a: {}, a: {}}", "yes: 1\ntrue: 2\n", "1: a\n0x1: b\n"],
)
def test_a_key_that_stands_twice_is_refused(text: str) -> None:
    with pytest.raises(MisreadError, match="stands twice here"):
        read_yaml(text)


def test_a_key_that_may_be_a_secret_is_not_repeated() -> None:
    with pytest.raises(MisreadError) as raised:
        read_yaml("{'s3://canary:canary@b/x': 1, 's3://canary:canary@b/x': 2}")
    assert "canary" not in str(raised.value.problem)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (True, "got True (YAML reads yes, no, on, off as booleans): put it in quotes"),
        (read_yaml("1_0"), "got 1_0 (YAML reads it as 10): put it in quotes"),
        (datetime.date(2026, 1, 2), "got 2026-01-02 (YAML reads it as a date): put it in quotes"),
        (None, "got null, as YAML reads null, ~ and nothing: put it in quotes"),
        (7, "got 7: put it in quotes"),
        ([1], "got a list"),
        ({}, "got a mapping"),
    ],
)
def test_what_is_no_text_is_told_with_what_to_do(value: Any, sentence: str) -> None:
    assert no_text(value) == sentence
