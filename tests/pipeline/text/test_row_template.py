"""What a prompt's template makes of a row."""

from pathlib import Path
from typing import Any

import mistral_common
import pytest

from pipeline.errors import ConfigError, RowError, RowErrorCode
from pipeline.text.control_tokens import without_marks
from pipeline.text.row_template import RowTemplate, read_names
from pipeline.text.tokenization import Tokenizer

TOKENIZER = Tokenizer.load(Path(mistral_common.__file__).parent / "data")


def render(source: str, **record: Any) -> str:
    return without_marks(RowTemplate(source, TOKENIZER).render(record))


def error_of(source: str, **record: Any) -> RowError:
    with pytest.raises(RowError) as caught:
        render(source, **record)
    return caught.value


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ text }}\n", "Hi\n"),
        ("{{ text }}\n\n", "Hi\n\n"),
        ("Say: {{ text }}\r\n", "Say: Hi\n"),
        ("{{ range }} {{ dict }} {{ namespace.x }}", "5 km d n"),
        ("{{ cycler }} {{ joiner }} {{ lipsum }} {{ loop }}", "c j l o"),
        ("{% for i in range(2) %}{{ i }}{% endfor %}{{ dict(a=1) }}", "01{'a': 1}"),
        ("{{ row['user text'] }} {{ row.text }} {{ row['self'] }} {{ row['range'] }}", "u Hi s 5 km"),
        ("{% for i in range(1) %}{{ row['loop'] }}{{ loop.index }}{% endfor %}", "o1"),
        ("{{ row.get('none', 'no') }} {{ 'none' in row }} {{ 'text' in row }}", "no False True"),
        ("{{ row | tojson | length > 50 }} {{ row.items() | list | length }}", "True 11"),
        ("{{ none_given | default('-') }}{% if other is defined %}x{% endif %}{{ text }}", "-Hi"),
        ("{{ text | first_tokens(1) }} {{ ('ab' ~ text) | first_tokens(3) }}", "Hi abHi"),
    ],
)
def test_columns_go_before_names_of_jinja(source: str, expected: str) -> None:
    record = {
        "text": "Hi", "range": "5 km", "dict": "d", "namespace": {"x": "n"}, "cycler": "c", "joiner": "j",
        "lipsum": "l", "loop": "o", "self": "s", "user text": "u", "unused": 1,
    }  # fmt: skip
    assert render(source, **record) == expected


def test_a_column_called_row_goes_before_the_record() -> None:
    assert render("{{ row }}", row="r", text="t") == "r"
    assert render("{{ row.name }}", row={"name": "n"}, name="other") == "n"
    assert error_of("{{ row }}", text="t").code is RowErrorCode.MISSING_COLUMN


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("{{ text.upper }}", "prints a function, not a value: call it (its line 1)"),
        ("{{ [text.upper] }}", "prints a function"),
        ("{% macro m() %}{% endmacro %}{{ m }}", "prints a function"),
        ("{% for x in tags %}{{ loop }}{% endfor %}", "prints a"),
        ("{{ namespace(a=1) }}", "prints a function"),
        ("{{ tags | map('upper') }}", "prints a sequence that is no list: put | list or | join behind it"),
        ("a{{ tags | select ~ text }}", "prints a sequence that is no list"),
        ("{{ row.items() }}", "prints a sequence that is no list"),
        ("{{ range(3) }}", "prints a sequence that is no list"),
        ("{{ data }}", "prints binary data: store that column as text"),
        ("{{ [data] | tojson }}", "prints binary data"),
        ("{{ text | first_tokens(text) }}", "first_tokens takes a number of tokens"),
        ("{{ text | first_tokens(-1) }}", "first_tokens takes a number of tokens"),
        ("{{ tags | first_tokens(1) }}", "first_tokens is for texts"),
    ],
)
def test_what_is_no_value_of_a_row_is_not_printed(source: str, sentence: str) -> None:
    error = error_of(source, text="SECRET", tags=["SECRET"], data=b"SECRET")
    assert error.code is RowErrorCode.TEMPLATE_FAILED
    assert sentence in error.message
    assert "SECRET" not in error.message


def test_what_a_row_lacks_is_named() -> None:
    error = error_of("{{ text }}{{ row['user text'] }}{{ a | default('') }}", text="SECRET")
    assert error.code is RowErrorCode.MISSING_COLUMN
    assert "user text" in error.message
    assert "SECRET" not in error.message


def test_a_row_has_no_more_names_in_jsonl_than_in_parquet() -> None:
    """A record of JSONL has all columns, one of Parquet those that the template names."""
    source = "{% for i in range(2) %}{{ row.text }}{% endfor %}"
    assert render(source, text="x", range=7, unused=1) == render(source, text="x") == "xx"
    assert read_names(source).read == {"row", "text"}


def test_the_name_that_only_jinja_can_have_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r'input\.prompt\.template, line 1: self is jinja\'s own.* write row\["self"\]'
    ):
        read_names("{{ self }}")
