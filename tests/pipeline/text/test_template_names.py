"""Which names of a template are columns that must be there, and which it can do without."""

import pytest
from jinja2 import Environment, meta

from pipeline.text.template_names import TemplateNames, called_only, names_of


def names(source: str) -> TemplateNames:
    tree = Environment().parse(source)
    return names_of(tree, meta.find_undeclared_variables(tree))


@pytest.mark.parametrize(
    ("source", "needed", "optional"),
    [
        ("{{ a }}{% for x in b %}{{ x }}{{ loop.index }}{% endfor %}{{ c.d }}", "a b c", ""),
        ("{% set a = b %}{{ a }}{% macro m(x) %}{{ x }}{{ y }}{% endmacro %}", "b y", ""),
        ("{{ a | default('') }}{{ b | d(c) }}{{ (d) | default(e | default(f)) }}", "c f", "a b d e"),
        ("{{ a | default('') }}{{ a }}{{ b.c | default('') }}", "a b", ""),
        ("{{ a | trim | default('') }}", "a", ""),
        ("{% if a is defined %}{{ a }}{% endif %}{{ b if b is not undefined else c }}", "c", "a b"),
        ("{% if a is defined and a | length > b %}{{ a }}{% endif %}", "b", "a"),
        ("{% if a is not defined %}{% set a = 'x' %}{% endif %}{{ a }}", "", "a"),
        ("{{ row }}", "row", ""),
        ("{% for row in rows %}{{ row.x }}{{ row['y z'] }}{% endfor %}", "rows", ""),
    ],
)
def test_columns_under_their_own_names(source: str, needed: str, optional: str) -> None:
    found = names(source)
    assert (found.needed, found.optional) == ({*needed.split()}, {*optional.split()})
    assert found.read == found.needed | found.optional
    assert not found.row


@pytest.mark.parametrize(
    ("source", "needed", "optional", "own", "whole"),
    [
        ("{{ row['user text'] }}{{ row.x }}", {"user text", "x"}, set(), set(), False),
        ("{{ row['a b'] | default(c) }}{{ row.get('d', e) }}", set(), {"a b", "d"}, {"c", "e"}, False),
        ("{% if row['a b'] is defined %}{{ row['a b'] }}{% endif %}", set(), {"a b"}, set(), False),
        (
            "{% if 'a b' in row and 'c' not in row %}{{ row['a b'] }}{% endif %}",
            set(),
            {"a b", "c"},
            set(),
            False,
        ),
        ("{{ row['a' ~ n] }}", set(), set(), {"n"}, True),
        ("{{ row.get(n) }}", set(), set(), {"n"}, True),
        ("{% for k, v in row.items() %}{{ k }}: {{ v }}{% endfor %}", set(), set(), set(), True),
        ("{{ row | tojson }}{{ row['x'] }}", {"x"}, set(), set(), True),
    ],
)
def test_columns_through_the_whole_row(
    source: str, needed: set[str], optional: set[str], own: set[str], whole: bool
) -> None:
    found = names(source)
    assert (found.needed_of_row, found.optional_of_row, found.whole_row) == (needed, optional, whole)
    assert found.row
    assert found.read >= needed | optional | {"row"}
    assert "row" not in found.needed | found.optional, "it need not be there, and is read if it is"
    assert found.needed == own


def test_what_values_lack() -> None:
    found = names("{{ a }}{{ b | default('') }}{{ row['c'] }}")
    assert found.missing({"a": 1, "b": None, "row": {"c": 1}}) == []
    assert found.missing({"row": {}}) == ["a", "b", "c"]
    assert found.missing({"row": "a column of that name"}) == ["a", "b"]


def test_functions_of_jinja_are_those_that_are_called() -> None:
    def called(source: str) -> frozenset[str]:
        return called_only(Environment().parse(source))

    assert called("{% for i in range(3) %}{{ dict(a=i) }}{% endfor %}") == {"range", "dict", "namespace"}
    assert called("{{ range(2) }}{{ range }}{{ namespace.x }}") == {"dict"}
