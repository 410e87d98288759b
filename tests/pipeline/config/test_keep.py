"""The forms of `input.keep` and `input.keep_types`, and what of them is refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.config.input import InputSection


def section(**keys: Any) -> InputSection:
    return InputSection.model_validate({"path": "i.jsonl", "prompt": {"column": "c"}, **keys})


def test_each_form_maps_new_names_to_those_of_the_input() -> None:
    assert section(keep=["a", "b"]).kept_by_name == {"a": "a", "b": "b"}
    assert section(keep={"new": "old"}).kept_by_name == {"new": "old"}
    for every in ("*", ["*"], {"*": "*"}):
        assert (section(keep=every).keeps_all, section(keep=every).kept_by_name) == (True, {})
    renamed = section(keep={"*": "*", "new": "old"})
    assert (renamed.keeps_all, renamed.kept_by_name) == (True, {"new": "old"})
    assert "anything" in renamed.kept_names
    assert not section().keeps_all


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"keep": ["q", "q"]}, "q is named twice"),
        ({"keep": [False]}, "each must be the name of a column, got False (YAML reads yes, no, on, off"),
        ({"keep": {"all": "*"}}, "'*' keeps all columns under their own names"),
        ({"keep": ["n"], "keep_types": {"m": "int64"}}, "keep_types: m is not kept; kept columns are n"),
        ({"keep": {"new": "n"}, "keep_types": {"n": "int64"}}, "n is not kept; kept columns are new"),
        (
            {"keep": ["n"], "keep_types": {"n": "int32"}},
            "must be string, int64, float64, bool or list<...> of one, got 'int32'",
        ),
        ({"keep": ["n"], "keep_types": {"n": "list<int64"}}, "each list< needs its >"),
    ],
)
def test_what_is_refused(keys: Any, sentence: str) -> None:
    with pytest.raises(ValidationError) as raised:
        section(**keys)
    assert sentence in str(raised.value)


def test_types_are_those_that_the_output_can_have() -> None:
    types = {"a": "int64", "b": "list<list<float64>>", "c": "bool", "d": "list<string>"}
    assert section(keep=[*types], keep_types=types).keep_types == types
    assert section(keep="*", keep_types={"any": "string"}).keep_types == {"any": "string"}
