"""Templates that loop, escape, grow or call themselves."""

from pathlib import Path
from typing import Any

from tests.hostile.case import OK, Case, write_lines, write_model

FAILED = "TEMPLATE_FAILED"


def template(source: str) -> Any:
    def make(folder: Path) -> dict[str, Any]:
        write_lines(folder, b'{"text": "a", "n": 1}', b'{"text": "b", "n": 1000000000}')
        return {"input": {"prompt": {"template": source}}}

    return make


def chat_template(source: str) -> Any:
    def make(folder: Path) -> dict[str, Any]:
        model = write_model(folder)
        (model / "chat_template.jinja").write_text(source)
        return {"input": {"chat": True}}

    return make


def failing(source: str) -> Case:
    return Case(template(source + "{{ text }}"), rows=[FAILED, FAILED])


def again(statement: str, first: str = "") -> Case:
    loop = f"{{% for i in range(100000) %}}{statement}{{% endfor %}}"
    return failing(f"{{% set ns = namespace(x=[], t='aa') %}}{first}{loop}")


HALVES = "{% set ns = namespace(x=[1]) %}{% for i in range(40) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}"
PAIRS = "{% set ns = namespace(x=(1,)) %}{% for i in range(40) %}{% set ns.x = (ns.x, ns.x) %}{% endfor %}"
LARGE = "{% set large = range(100000) | list %}"


TEMPLATES = {
    "a loop without end": failing(
        "{% for x in range(99999) %}{% for y in range(99999) %}{% endfor %}{% endfor %}"
    ),
    "a loop as long as the row says": Case(
        template("{% for x in range(n) %}{{ text }}{% endfor %}"),
        rows=[OK, FAILED],
        columns={"prompt": ["a", None]},
    ),
    "an escape through attributes": failing("{{ ''.__class__.__mro__[1].__subclasses__() }}"),
    "an escape through globals": failing("{{ dict().get.__class__ }}"),
    "an escape through format": failing("{{ '{0.__class__}'.format(text) }}"),
    "a gigabyte by multiplication": failing("{{ 'x' * 1000000000 }}"),
    "a gigabyte by a width": failing("{{ '%1000000000d' % 1 }}"),
    "a gigabyte by doubling": failing(
        "{% set ns = namespace(t='x') %}"
        "{% for i in range(60) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}{{ ns.t }}"
    ),
    "a number with a billion digits": failing("{{ 9 ** 64 ** 64 }}"),
    "a macro that calls itself": failing("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"),
    "a list nested 2**40-fold": failing(
        "{% set ns = namespace(t=[1]) %}"
        "{% for i in range(40) %}{% set ns.t = [ns.t, ns.t] %}{% endfor %}{{ ns.t }}"
    ),
    "nested lists compared": failing(HALVES + "{{ ns.x == [ns.x[0], ns.x[1]] }}"),
    "nested lists searched": failing(HALVES + "{{ [ns.x[0], ns.x[1]] in [ns.x] }}"),
    "nested lists sorted": failing(HALVES + "{{ [ns.x, [ns.x[0], ns.x[1]]] | sort | length }}"),
    "nested lists as a key": failing(PAIRS + "{{ {ns.x: 1} | length }}"),
    "slices that are kept": again("{% set ns.x = ns.x + [large[:]] %}", LARGE),
    "ranges that are kept": again("{% set ns.x = [ns.x, range(100000) | list] %}"),
    "loops that find nothing": again("{% for j in range(100000) if false %}{% endfor %}"),
    "a number rounded to 200,000,000 places": failing("{{ n | round(-200000000) }}"),
    "a text rounded up": failing("{{ text | round(9, 'ceil') }}"),
    "a range searched in a chain": again("{% if 0.5 in range(100000) == 1 %}{% endif %}"),
    "a tuple as an attribute": failing("{{ [text] | join(attribute=(1, (2, 3))) }}"),
    "140 loops within each other": Case(
        template("{% for i in row %}" * 140 + "{{ text }}" + "{% endfor %}" * 140),
        refused="more than 20 loops",
    ),
    "a million braces": Case(template("{" * 999_999), refused="nest too deep"),
    "a width in a test": failing("{{ '%999999999d' is odd }}"),
    "generators within generators": again("{% set ns.x = ns.x | map('upper') %}{{ ns.x | list }}"),
    "lists added up": again("{% set y = [large, large, large] | sum(start=[]) %}", LARGE),
    "texts within each other": again("{{ t.rfind('b' ~ t[:100000]) }}", LARGE + "{% set t = large | join %}"),
    "JSON indented 200 deep": failing(
        LARGE
        + "{% set ns = namespace(x=large) %}{% for i in range(200) %}{% set ns.x = [ns.x] %}{% endfor %}"
        "{{ ns.x | tojson(indent=8) }}"
    ),
    "numbers of one hash": failing(
        LARGE + "{% set ns = namespace(x=[]) %}{% for i in large[:2000] %}"
        "{% set ns.x = ns.x + [[i * 2305843009213693951, 1]] %}{% endfor %}{{ dict(ns.x) | length }}"
    ),
    "a chat template that compares": Case(
        chat_template(HALVES + "{{ ns.x == [ns.x[0], ns.x[1]] }}{{ messages[0].content }}"), rows=[FAILED]
    ),
    "100,000 branches": Case(
        template("{% if n %}" + "{% elif n %}{{ text }}" * 100_000 + "{% endif %}"),
        refused="1000000 characters",
    ),
    "a hundred thousand tokens": Case(template("{{ text }}" * 40_000), refused="20000 tokens"),
    "10,000 attributes": Case(template("{{ text" + ".x" * 6_000 + " }}"), refused="nests more than 150 deep"),
    "a number of a million bits": Case(
        template("{{ 0x" + "f" * 250_000 + " }}"), refused="number is too large"
    ),
    "escapes for HTML": Case(
        template("{% autoescape true %}{{ text }}{% endautoescape %}"), refused="autoescape is for HTML"
    ),
    "another file": Case(template("{% include '/etc/passwd' %}"), refused="a template cannot load others"),
    "broken syntax": Case(template("{{ text "), refused="input.prompt.template, line 1"),
    "nested 10,000 deep": Case(
        template("{{ " + "(" * 10_000 + "1" + ")" * 10_000 + " }}"), refused="not a valid"
    ),
    "a template without a column": Case(
        template("{# {{ text }} #} Say {text}"), refused=r"it names no column.* write {{ text }}, not {text}"
    ),
    "a function that is a column's name": Case(template("{{ range }}"), refused="no column 'range'"),
    "a column that no row has": Case(template("{{ body }}"), refused="no column 'body'"),
    "a lone surrogate": Case(template("{{ '\\ud800' ~ text }}"), rows=["INVALID_UTF8"] * 2),
    "nothing but space": Case(template("{{ text[:0] }}  "), rows=["EMPTY_PROMPT"] * 2),
}
