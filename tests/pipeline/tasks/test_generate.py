"""Task generate: whose parameters a row has, and what its outcome holds."""

import json
import re
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.errors import RowError
from pipeline.tasks.generate import Generate, GenerationSection

TASK = Generate(
    GenerationSection(
        max_new_tokens=20,
        temperature=0.5,
        columns={
            "temperature": "heat",
            "seed": "seed",
            "max_new_tokens": "length",
            "stop": "stop",
            "top_p": "p",
        },
    )
)


def params(record: dict[str, Any], prompt_tokens: int = 10, context: int = 100) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(TASK.row_params(record, prompt_tokens, context))
    return found


def test_only_the_columns_that_the_job_names_go_before_its_section() -> None:
    own = params({"heat": 0.9, "seed": None, "text": "x", "temperature": 38.9, "logprobs": True})
    assert (own["temperature"], own["seed"], own["max_new_tokens"], own["logprobs"]) == (0.9, 0, 20, False)
    assert "columns" not in own, "sampling does not know it"
    plain = Generate(GenerationSection(max_new_tokens=20))
    row = dict.fromkeys(GenerationSection.model_fields, 7)
    assert json.loads(plain.row_params(row, 10, 100)) == GenerationSection(max_new_tokens=20).model_dump(
        exclude={"columns"}
    )


def test_whole_floats_count_as_integers() -> None:
    own = params({"length": 7.0, "seed": -3.0, "heat": 1, "stop": "x"})
    assert (own["max_new_tokens"], own["seed"], own["temperature"], own["stop"]) == (7, -3, 1.0, ["x"])
    assert type(own["seed"]) is int


@pytest.mark.parametrize(("prompt_tokens", "allowed"), [(10, 20), (81, 20), (82, 19), (100, 1)])
def test_no_more_tokens_than_the_context_has_room_for(prompt_tokens: int, allowed: int) -> None:
    assert params({}, prompt_tokens)["max_new_tokens"] == allowed


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        (
            {"heat": -1, "length": 5},
            "temperature in column 'heat' must be greater than or equal to 0, got",
        ),
        ({"length": "SECRET"}, "max_new_tokens in column 'length' must be a valid integer, got text"),
        ({"length": 2.5}, "max_new_tokens in column 'length' must be a valid integer, got 2.5"),
        ({"seed": 10**25}, "column 'seed' must be less than 9223372036854775808, got 1000000000"),
        ({"seed": True}, "column 'seed': must be a number, not true or false, got True"),
        ({"stop": ["SECRET", ""]}, "column 'stop': String should have at least 1 character, got a list"),
        ({"p": float("nan")}, "top_p in column 'p' must be a finite number, got nan"),
        (
            {"heat": "SECRET", "seed": {}},
            "temperature in column 'heat' must be a valid number, got text; ",
        ),
    ],
)
def test_a_parameter_that_is_not_valid_is_named_with_its_column_and_why(
    record: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(RowError, match="BAD_PARAMETER") as raised:
        params(record)
    assert raised.value.message.startswith(sentence)
    assert "SECRET" not in raised.value.message


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (["temprature"], "temprature is no parameter that a row can set; did you mean temperature?"),
        (
            ["columns"],
            "columns is no parameter that a row can set; a row may set max_new_tokens,",
        ),
        ({"zzz": "seed"}, "zzz is no parameter"),
        (["seed", "seed"], "seed is named twice"),
        ([1], "each must be the name of a key of this section, got 1"),
    ],
)
def test_a_name_that_is_no_parameter_is_an_error_of_the_job(columns: Any, sentence: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(sentence)):
        GenerationSection(columns=columns)


def test_columns_that_it_names_must_be_there() -> None:
    assert TASK.input_columns["length"] == "generation.columns"
    assert not Generate(GenerationSection()).input_columns


def test_log_probabilities_have_a_column_where_they_may_be_asked_for() -> None:
    for section, there in (({}, False), ({"logprobs": True}, True), ({"columns": ["logprobs"]}, True)):
        names = [name for name, _ in Generate(GenerationSection(**section)).last_columns]
        assert names == ["token_logprobs"] * there, section


def test_stop_strings_need_a_tokenizer() -> None:
    assert not Generate(GenerationSection()).needs_tokenizer
    assert Generate(GenerationSection(stop=["\n"])).needs_tokenizer
    assert TASK.needs_tokenizer, "a row may have one"


def test_the_report_tells_how_many_tokens_were_generated() -> None:
    assert TASK.facts({"generated_tokens": 1_234_567}) == [("generated tokens", "1,234,567")]
