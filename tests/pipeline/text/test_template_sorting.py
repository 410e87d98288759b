"""The filters that compare give what jinja2's own give, for any values, keys and options."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import Environment

from pipeline.errors import RowError
from pipeline.text.chat_jinja import compile_chat_template

TEXTS = st.text("aAbBİß1", max_size=3)
ROWS = st.lists(st.fixed_dictionaries({"a": TEXTS, "b": st.fixed_dictionaries({"c": TEXTS})}), max_size=6)
SOURCES = [
    "{{ rows | sort(attribute='a') }}",
    "{{ rows | sort(true, case_sensitive, 'b.c,a') }}",
    "{{ rows | groupby('a') }}",
    "{{ rows | groupby('b.c', case_sensitive=case_sensitive) }}",
    "{{ rows | groupby('z', 'none') }}",
    "{{ rows | unique(case_sensitive, 'a') | list }}",
    "{{ rows | max(attribute='b.c') }}{{ rows | min(case_sensitive, 'a') }}",
    "{{ texts | sort }}{{ texts | unique | list }}{{ texts | max }}{{ texts | min(case_sensitive) }}",
    "{{ object | dictsort }}{{ object | dictsort(case_sensitive, 'value', true) }}",
    "{{ rows | join('+', 'b.c') }}{{ rows | join(attribute='a') }}{{ texts | join('-') }}",
    "{{ (texts | join(' ')) | title }}{{ (texts | join(' ')) | wordcount }}",
]
OURS = [compile_chat_template(source, "test") for source in SOURCES]
THEIRS = [Environment().from_string(source) for source in SOURCES]


@settings(deadline=None)
@given(rows=ROWS, texts=st.lists(TEXTS, max_size=6), case_sensitive=st.booleans())
def test_they_give_what_jinja_gives(rows: Any, texts: list[str], case_sensitive: bool) -> None:
    values = {"rows": rows, "texts": texts, "case_sensitive": case_sensitive}
    values["object"] = dict(zip(texts, reversed(texts), strict=True))
    for ours, theirs in zip(OURS, THEIRS, strict=True):
        assert ours.render(values) == theirs.render(values)


@pytest.mark.parametrize(
    "use",
    ["join", "sort", "groupby", "max", "min", "sum", "unique", "map", "selectattr", "rejectattr"],
)
def test_an_attribute_is_a_text_or_a_number(use: str) -> None:
    given_by_place = use in ("selectattr", "rejectattr")
    source = f"{{{{ [d] | {use}({'' if given_by_place else 'attribute='}(1, (2, 3))) | list }}}}"
    with pytest.raises(RowError, match="failed with TypeError"):
        compile_chat_template(source, "test").render({"d": {(1, (2, 3)): 1}})
