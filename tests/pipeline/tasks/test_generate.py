"""Task generate: whose parameters a row has, and what its outcome holds."""

import json
from typing import Any

import pytest

from pipeline.errors import RowError
from pipeline.tasks.generate import Generate, GenerationSection

TASK = Generate(GenerationSection(max_new_tokens=20, temperature=0.5))


def params(record: dict[str, Any], prompt_tokens: int = 10, context: int = 100) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(TASK.row_params(record, prompt_tokens, context))
    return found


def test_a_rows_own_columns_go_before_the_jobs_section() -> None:
    own = params({"temperature": 0.9, "seed": None, "text": "x"})
    assert (own["temperature"], own["seed"], own["max_new_tokens"]) == (0.9, 0, 20)


@pytest.mark.parametrize(("prompt_tokens", "allowed"), [(10, 20), (81, 20), (82, 19), (100, 1)])
def test_no_more_tokens_than_the_context_has_room_for(prompt_tokens: int, allowed: int) -> None:
    assert params({}, prompt_tokens)["max_new_tokens"] == allowed


@pytest.mark.parametrize(
    "record", [{"temperature": -1}, {"max_new_tokens": "9"}, {"seed": 10**25}, {"stop": [""]}, {"top_p": 0}]
)
def test_a_parameter_that_is_not_valid_names_itself_and_not_its_value(record: dict[str, Any]) -> None:
    with pytest.raises(RowError, match="BAD_PARAMETER") as raised:
        params(record)
    [(name, value)] = record.items()
    assert name in raised.value.message
    assert str(value) not in raised.value.message.replace(name, "") or str(value) in ("0", "")


def test_stop_strings_need_a_tokenizer() -> None:
    assert not TASK.needs_tokenizer
    assert Generate(GenerationSection(stop=["\n"])).needs_tokenizer


def test_the_report_tells_how_many_tokens_were_generated() -> None:
    assert TASK.facts({"generated_tokens": 1_234_567}) == [("generated tokens", "1,234,567")]
