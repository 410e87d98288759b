"""Single braces around a column's name."""

import pytest

from pipeline.errors import ConfigError
from pipeline.reading.template_slips import braces_of_columns, require_variable


@pytest.mark.parametrize(
    ("template", "found"),
    [
        ("Say {text} and { user text }, {text}", ["text", "user text"]),
        ("${text}", ["text"]),
        ('{{ text }} as {"text": 1} or {other}', []),
        ("{% if text %}{# {text} #}{% endif %}", ["text"]),
        ("{{{ text }}}", []),
    ],
)
def test_names_in_single_braces(template: str, found: list[str]) -> None:
    assert braces_of_columns(template, {"text", "user text"}) == found


@pytest.mark.parametrize(
    ("template", "columns", "sentence"),
    [
        ("Say {text}", ["id", "text"], "write {{ text }}, not {text} where the row's text belongs"),
        ("Say {user text}", ["user text"], 'write {{ row["user text"] }}, not {user text} where'),
        ("Say it", ["body", "id"], "write {{ body }} where the row's text belongs"),
        ("Say it", [], "write {{ column }} where"),
    ],
)
def test_a_template_without_a_variable(template: str, columns: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError) as raised:
        require_variable(template, columns)
    assert "input.prompt.template: it names no column, so all rows would get the same" in str(raised.value)
    assert sentence in str(raised.value)
