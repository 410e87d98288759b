"""Random templates in what the sandbox allows: every operator, filter, test, method and statement.

Expressions have a kind (list, text, number, bool, any), so that most of them run; sizes are those that hurt.
What a loop does to its namespace grows, is kept, compared, sorted, cut, hashed and printed.
"""

import re
from random import Random

from pipeline.text.template_filters import filters
from pipeline.text.template_methods import METHODS
from pipeline.text.template_tests import tests

VALUES = {
    "s": "a" * 300_000,
    "w": "ab c\n" * 20_000,
    "u": "é日\U0001f999ß" * 5_000,
    "l": list(range(50_000)),
    "k": [["a"] * 100 for _ in range(200)],
    "d": {f"k{n}": n for n in range(5_000)},
    "r": [{"a": n % 7, "b": {"c": str(n)}} for n in range(2_000)],
    "n": 12345,
    "z": int("7" * 4000),
    "b": b"1" * 200_000,
    "j": "字\u2003" * 100_000,
    "e": [],
}

# By kind: what ends an expression, and what goes on. `<kind>` is put in, one deeper.
LEAVES = {
    "list": [
        "l",
        "k",
        "r",
        "e",
        "ns.x",
        "ns.x",
        "[]",
        "[1]",
        "['a', 'b']",
        "range(n)",
        "range(100000)",
        "(1, 2)",
    ],
    "text": ["s", "w", "u", "j", "t", "ns.y", "ns.y", "<short>"],
    "number": ["ns.n", "1.5", "<size>", "<size>"],
    "bool": ["true", "false", "i", "ns.x"],
    "any": ["d", "none", "ns.a", "ns.a", "m", "(loop or 1)", "(nothing or 1)", "b", "z", "r[0]"],
}
DEEPER = {
    "list": """[<list>, <list>] | [<any>, <list>, <any>] | (<list>, <any>,) | (<list> + <list>)
        (<list> ¦ list)[:<size>] | (<list> ¦ list)[::-1] | (<list> ¦ list + [<any>]) | <text>.split(<short>)
        <text>.split() | <text>.splitlines() | (<list> ¦ <filter> ¦ list) | (<list> ¦ sort) | d.items()
        (<list> ¦ map(<mapped>) ¦ list) | (<list> ¦ select(<selected>) ¦ list) | (r ¦ sort(attribute='b.c'))
        (r ¦ groupby('a')) | (<list> ¦ unique ¦ list) | (d ¦ dictsort) | (d ¦ items ¦ list) | (<text> ¦ list)
        (<list> ¦ <sorting>(attribute=<any>) ¦ list) | (<texts> ¦ <sorting> ¦ list)
        (r ¦ map(attribute='b.c') ¦ list) | (<list> ¦ reverse ¦ list) | <text>.partition(<text>)""",
    "text": """(<text> ~ <any>) | (<text> + <text>) | (<text>)[:<size>] | (<text>)[::-1] | <text>.<method>()
        <text>.<method>(<text>) | <text>.replace(<short>, <text>) | <text>.join(<list> ¦ map('string'))
        (<any> ¦ string) | (<any> ¦ tojson) | (<list> ¦ tojson(indent=8)) | (<list> ¦ join) | (<text> ¦ title)
        (<list> ¦ join(attribute=<any>)) | (<list> ¦ join(<short>, <any>))
        (<list> ¦ join(<text>)) | (<text> ¦ upper) | (<text> ¦ trim(<text>))
        (<text> ¦ replace(<short>, <text>))
        (<text> ¦ truncate(<size>)) | (<text> ¦ capitalize) | (<text> ¦ lower)""",
    "number": """(<number> <operator> <number>) | (-<number>) | (<number> ¦ round(<number>)) | (<any> ¦ abs)
        (<any> ¦ round(<size>, '<rounding>')) | (<any> ¦ int) | (<any> ¦ float) | (<any> ¦ int(0, <size>))
        (<number> ¦ round(<number>, 'ceil')) | (<text> ¦ int(0, 16)) | (<text> ¦ int(0, 3)) | (<text> ¦ float)
        (<list> ¦ length) | (<list> ¦ sum) | (<list> ¦ sum(start=[])) | <text>.count(<text>)
        (<text> ¦ wordcount)
        <text>.rfind(<text>) | (<list> ¦ max) | (<list> ¦ min)""",
    "bool": """(<any> <compare> <any>) | (<list> <compare> <list>) | (<any> <compare> <list>)
        (<any> is <test>)
        (<any> in <list> <compare> <any>) | (<any> <compare> <any> in <any>)
        (<any> <compare> <any> <compare> <list>) | (<text> <compare> <text>) | (<any> is in(<list>))
        (<any> is eq(<any>)) | (<any> is lt(<any>)) | (<any> is divisibleby(<any>)) | (not <any>)
        (<any> and <any>) | (loop and loop.changed(<any>, <any>)) | (<any> in <list>) | (<text> in <text>)""",
    "any": """<list> | <text> | <number> | <bool> | {'a': <any>, 'b': <any>} | {(<any>, <any>): <any>}
        dict(d, a=<any>) | namespace(d, a=<any>) | m(<any>, *l) | ((<any>) ¦ <filter>) | d[(<any>, <any>)]
        (<any> <operator> <any>) | (<texts> ¦ max) | (<texts> ¦ min(attribute=<any>)) | {ns.a: 1}
        d.get(<any>) | l.index(<any>) | <list>.count(<any>) | (loop and loop.length)
        (loop and loop.nextitem) | (loop and loop.cycle(1, <any>))
        (<any>).items() | (<any>).keys() | (<any> if <bool> else <any>) | <list>[<number>] | [ns.a, <any>]""",
    "statement": """{{ <any> }} | {% set v = <any> %} | <grow> | <grow> | <grow>
        {% if <bool> %}<block>{% endif %}
        <loop> | <loop> | <loop> | {% set ns.y %}<block>{% endset %} | {% call m(<any>) %}<block>{% endcall %}
        {% filter upper %}<block>{% endfilter %} | {% for i in <iterated> if <bool> %}<block>{% endfor %}
        {% for i in <iterated> recursive %}{% if i %}{{ loop(<iterated>) }}{% endif %}<grow>{% endfor %}""",
}
PARTS = {
    "grow": """{% set ns.x = [ns.x, ns.x] %} | {% set ns.x = ns.x + [<any>] %} | {% set ns.x = <list> %}
        {% set ns.a = [ns.a, <any>] %} | {% set ns.a = (ns.a, <any>) %} | {% set ns.y = ns.y ~ ns.y %}
        {% set ns.a = {'a': ns.a, 'b': <any>} %} | {% set ns.a = ns.a ¦ <filter> %} | {% set ns.y = <text> %}
        {% set ns.n = <number> %} | {% set ns.n = ns.n * ns.n %} | {% if <bool> %}{% endif %}
        {% set ns.a = b %} | {% set ns.a = ns.a + ns.a %} | {% set ns.a = (ns.a, ns.a) %}
        {% set ns.a = [ns.a, m] %} | {% set ns.a = [ns.a, <list>] %} | {% set ns.a = [ns.a, <text>] %}""",
    "loop": "{% for i in <iterated> %}<block>{% endfor %}",
    "block": "<grow> | <grow><grow> | <statement> | <grow><statement>",
    "iterated": "range(100000) | range(100000) | range(1000) | range(50) | ns.x | l | s | d | <list>",
    "size": "0 | 1 | -1 | 2 | 7 | 64 | 255 | 1000 | 99999 | 1000000000 | 2**64 | n | z | 0xfffff",
    "short": "'a' | '' | 'ab' | 'a.a.a.a' | '%999999999d' | '{:999999999}' | ' ' | ('b' ~ t)",
    "operator": "+ | - | * | / | // | % | **",
    "sorting": "sort | groupby | unique | map | selectattr | sum",
    "texts": "[<text>, <text>, t] | (<list> ¦ map(attribute='a', default=<text>)) | (l ¦ map('string'))",
    "rounding": "ceil | floor | common",
    "compare": "== | != | < | <= | > | >= | in | not in",
    "filter": "<filters> | <filters> | <filters>(<any>) | <filters>(attribute=<short>) | <filters>(<short>)",
    "mapped": "'<filters>' | 'round', 99999999 | attribute='a.b.c' | attribute=0 | 'replace', 'a', s",
    "selected": "'<test>' | '<test>', <any> | 'eq', <any>",
}
NAMES = {
    "filters": sorted(filters(print_nulls=True)),
    "test": sorted(name for name in tests() if name.isalpha()),
    "method": sorted(METHODS[str]),
}


def choices(patterns: str) -> list[str]:
    return [one.strip().replace("¦", "|") for line in patterns.splitlines() for one in line.split(" | ")]


RULES = {name: choices(patterns) for name, patterns in (DEEPER | PARTS).items()} | NAMES
HEAD = (
    "{% set t, i = s[:1000], 1 %}{% set ns = namespace(x=[1], y='ab', n=2, a=d) %}"
    "{% macro m(p) %}{% endmacro %}{% set ns.x, ns.y = <list>, <text> %}"
    "{% set ns.n, ns.a = <number>, <any> %}"
    "{% macro m(p, q=<any>) %}<grow>{{ caller() if caller else p }}{% endmacro %}"
)


class Grammar:
    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def template(self) -> str:
        statements = "".join(self._filled("<statement>", 5) for _ in range(self._random.randint(1, 3)))
        return self._filled(HEAD, 1) + statements

    def _filled(self, pattern: str, depth: int) -> str:
        return re.sub("<([a-z]+)>", lambda found: self._one(found[1], depth), pattern)

    def _one(self, name: str, depth: int) -> str:
        if name in LEAVES and (depth <= 0 or self._random.random() < 0.3):
            return self._filled(self._random.choice(LEAVES[name]), 0)
        if name in ("statement", "block", "loop") and depth <= 1:
            name = "grow"
        return self._filled(
            self._random.choice(RULES[name]), min(depth, 3) - 1 if name in LEAVES else depth - 1
        )
