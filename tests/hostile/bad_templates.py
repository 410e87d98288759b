"""Templates that loop, escape, grow or call themselves."""

from pathlib import Path
from typing import Any

from tests.hostile.case import OK, Case, write_lines

FAILED = "TEMPLATE_FAILED"


def template(source: str) -> Any:
    def make(folder: Path) -> dict[str, Any]:
        write_lines(folder, b'{"text": "a", "n": 1}', b'{"text": "b", "n": 1000000000}')
        return {"input": {"prompt": {"template": source}}}

    return make


def failing(source: str) -> Case:
    return Case(template(source + "{{ text }}"), rows=[FAILED, FAILED])


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
