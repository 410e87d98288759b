import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError, RowError, RowErrorCode
from pipeline.text.row_template import read_names
from pipeline.text.templates import BoundedTemplate


def render(source: str, **values: object) -> str:
    return BoundedTemplate(source, "test").render(values)


def error_of(source: str, **values: object) -> RowError:
    with pytest.raises(RowError) as caught:
        render(source, **values)
    return caught.value


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("Which queue?\n{{ text }}", "Which queue?\nHi <b>"),
        ("{{ text | upper }} {{ text ~ '!' ~ n }}", "HI <B> Hi <b>!3"),
        ("{% for tag in tags %}{{ loop.index }}:{{ tag }};{% endfor %}", "1:a;2:b;"),
        ("{{ tags | join(', ') }} {{ ', '.join(tags) }} {{ tags | join }}", "a, b a, b ab"),
        ("{{ rows | map(attribute='id') | join('-') }} {{ rows | join('+', 'id') }}", "1-2 1+2"),
        ("{{ rows | tojson }}", '[{"id": 1}, {"id": 2}]'),
        ("{{ {'é': '<&>'} | tojson(indent=1) }}", '{\n "é": "<&>"\n}'),
        ("{{ tags }} {{ rows[0] }} {{ 1.5 }} {{ true }}", "['a', 'b'] {'id': 1} 1.5 True"),
        ("{% if none_given is defined %}x{% else %}y{% endif %}{{ none_given | default('z') }}", "yz"),
        ("{% macro q(x) %}<{{ x }}>{% endmacro %}{{ q(text) }}{{ q(1) }}", "<Hi <b>><1>"),
        ("{% set x %}{{ n }}{% endset %}{{ x }}{{ n + 1 }}{{ n * 2 }}{{ n ** 2 }}{{ n % 2 }}", "34691"),
        (
            "{% set s = namespace(k='') %}{% for t in tags %}{% set s.k = s.k + t %}{% endfor %}{{ s.k }}",
            "ab",
        ),
        ("{{ text.replace('Hi', 'Ho') }}{{ text | replace('i', 'oo', 1) }}", "Ho <b>Hoo <b>"),
        ("{% for t in tags %}{{ t.replace('a', 'c') }}{{ '-'.join([t, t]) }}{% endfor %}", "ca-abb-b"),
        ("{{ text.strip().split(' ')[0].lower() }} {{ null or '' }}", "hi "),
        ("a\n", "a"),
    ],
)
def test_renders_as_jinja_does(source: str, expected: str) -> None:
    values = {"text": "Hi <b>", "n": 3, "tags": ["a", "b"], "rows": [{"id": 1}, {"id": 2}], "null": None}
    assert render(source, **values) == expected


@pytest.mark.parametrize(
    "source",
    [
        "{{ text",
        "{% for x in y %}",
        "{{ text | nothing }}",
        "{{ text | escape }}",
        "{{ text | center(1000000000) }}",
        "{{ text is nothing }}",
        "{% include 'x' %}",
        "{% import 'x' as x %}",
        "{% from 'x' import x %}",
        "{% extends 'x' %}",
        "{{ " + "(" * 5000 + " }}",
    ],
)
def test_a_broken_template_is_found_before_any_row(source: str) -> None:
    with pytest.raises(ConfigError, match=r"^input\.prompt\.template"):
        read_names(source)


BOMBS = [
    "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
    "{% for i in range(100000) recursive %}{{ loop(range(100000)) }}{% endfor %}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(50) }}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% for i in range(100000) %}" + "literal " * 1000 + "{% endfor %}",
    "{% set x %}{% for i in range(100000) %}" + "literal " * 1000 + "{% endfor %}{% endset %}",
    "{% set s = namespace(x='a') %}{% for i in range(99) %}{% set s.x = s.x + s.x %}{% endfor %}",
    "{% set s = namespace(x='a') %}{% for i in range(99) %}{% set s.x = s.x ~ s.x %}{% endfor %}",
    "{% set s = namespace(x=[1]) %}{% for i in range(99) %}{% set s.x = s.x + s.x %}{% endfor %}",
    "{% set s = namespace(x=[1]) %}{% for i in range(99) %}{% set s.x = [s.x, s.x] %}{% endfor %}{{ s.x }}",
    "{% set s = namespace(x=[1]) %}{% for i in range(99) %}{% set s.x = [s.x, s.x] %}{% endfor %}"
    "{{ s.x | tojson }}",
    "{% set s = namespace(x='a') %}{% for i in range(99) %}{% set s.x = s.x | replace('a', 'aa') %}"
    "{% endfor %}",
    "{% set s = namespace(x='a') %}{% for i in range(99) %}{% set s.x = s.x.replace('a', 'aa') %}"
    "{% endfor %}",
    "{% set s = namespace(x='a') %}{% for i in range(99) %}{% set s.x = s.x.join([s.x, s.x]) %}{% endfor %}",
    "{% set s = namespace(x='ab') %}{% for i in range(99) %}{% set s.x = [s.x, s.x] | join %}{% endfor %}",
    "{% set r = range(100000) | list %}{% for i in r if r | list | length == 0 %}{% endfor %}",
    "{% set r = range(100000) | list %}{% for i in r if r.index(99999) == 0 %}{% endfor %}",
    "{{ 'x' * 10 ** 9 }}",
    "{{ [1] * 10 ** 9 }}",
    "{{ 10 ** 10000000 }}",
    "{{ 7 ** 7 ** 7 ** 7 ** 7 }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '{:1000000000}'.format(1) }}",
    "{{ '{x:1000000000}'.format_map({'x': 1}) }}",
    "{{ ('{:1000000000}' | string).format(1) }}",
    "{{ 'x'.ljust(1000000000) }}",
    "{{ 'x'['ljust'](1000000000) }}",
    "{{ ['x'] | map(attribute='ljust') | first }}",
    "{{ (1).to_bytes(1000000000) }}",
    "{{ [1] | tojson(indent=1000000000) }}",
    "{{ range(1000000000) }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ dict().get.__class__ }}",
    "{{ values.append(1) }}",
]


REASONS = ("was stopped", "may not use", "RecursionError", "OverflowError")


@pytest.mark.parametrize("source", BOMBS)
def test_a_bomb_is_one_row_error(source: str) -> None:
    template = BoundedTemplate(source, "test")
    begin = time.process_time()
    with pytest.raises(RowError) as caught:
        template.render({"values": [1]})
    assert caught.value.code is RowErrorCode.TEMPLATE_FAILED
    assert any(reason in caught.value.message for reason in REASONS)
    assert time.process_time() - begin < 10


def test_a_large_prompt_within_bounds_is_fine() -> None:
    assert len(render("{{ text }}", text="x" * 999_999)) == 999_999
    assert error_of("{{ text }}{{ text }}", text="x" * 999_999).code is RowErrorCode.TEMPLATE_FAILED


def test_every_row_has_its_own_budget() -> None:
    template = BoundedTemplate("{% for i in range(60000) %}{% endfor %}{{ text }}", "test")
    assert [template.render({"text": n}) for n in range(5)] == ["0", "1", "2", "3", "4"]


def test_a_column_that_the_row_lacks() -> None:
    error = error_of("{{ text }} {{ other }}", text="SECRET")
    assert error.code is RowErrorCode.MISSING_COLUMN
    assert "other" in error.message


def test_a_printed_null_is_told_apart() -> None:
    assert error_of("{{ text }}", text=None).code is RowErrorCode.NULL_PROMPT
    assert BoundedTemplate("{{ text }}", "test", print_nulls=True).render({"text": None}) == "None"


@pytest.mark.parametrize(
    "source", ["{{ a[b] }}", "{{ a.x }}", "{{ a[b].c }}", "{{ a + b }}", "{{ a | int + b }}"]
)
def test_messages_never_quote_the_row(source: str) -> None:
    for value in ("SECRET", "__class__SECRET", "__class__"):
        error = error_of("\n" + source, a=["SECRET"], b=value)
        assert error.code in (RowErrorCode.TEMPLATE_FAILED, RowErrorCode.MISSING_COLUMN)
        assert "SECRET" not in str(error)
        assert "__class__" not in str(error)
        assert error.code is RowErrorCode.MISSING_COLUMN or "line 2" in error.message


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(a=VALUES, b=VALUES)
def test_any_value_gives_text_or_a_row_error(a: object, b: object) -> None:
    for template in TEMPLATES:
        try:
            assert isinstance(template.render({"a": a, "b": b}), str)
        except RowError as error:
            message = error.message
            assert len(message) < 200


TEMPLATES = [
    BoundedTemplate(source, "test")
    for source in (
        "{{ a }}",
        "{{ a | tojson }}",
        "{{ a + b }}",
        "{{ a ~ b }}",
        "{{ a[b] }}",
        "{{ a | join(b) }}",
    )
]
