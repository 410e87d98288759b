"""Random templates in what the sandbox allows: every operator, filter, test, method and statement.

Expressions have a kind, so that most of them run; sizes are those that hurt. What a loop does to its
namespace grows, is kept, compared, sorted, cut, hashed, printed.
"""

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
}
_SIZES = ("0", "1", "-1", "2", "7", "64", "255", "1000", "99999", "1000000000", "2**64", "n", "z", "0xfffff")
_TEXTS = ("'a'", "''", "'ab'", "'a.a.a.a'", "'%999999999d'", "'{:999999999}'", "' '", "'b' ~ t", "'c' * 1")
_TEXT_METHODS = sorted(METHODS[str])
_FILTERS = sorted(filters(print_nulls=True))
_TESTS = sorted(tests())
_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=", "in", "not in")


class Grammar:
    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def template(self) -> str:
        head = (
            f"{{% set t = 'a' * 0 if false else s[:{self._pick(['10', '1000', '200000'])}] %}}"
            f"{{% set ns = namespace(x={self.a_list(1)}, y={self.a_text(1)}, n={self.number(1)}, a={self.any(1)}) %}}"
            f"{{% macro m(p, q={self.any(1)}) %}}{self.statement(1)}{self._pick(['', '{{ m(p) }}', '{{ caller() }}'])}"
            "{% endmacro %}"
        )
        return head + "".join(self.statement(3) for _ in range(self._random.randint(1, 4)))

    def statement(self, depth: int) -> str:
        kinds = ["grow", "grow", "grow", "print", "set"]
        if depth > 0:
            kinds += ["for", "for", "for", "if", "block", "call", "filter", "recursive"]
        match self._pick(kinds):
            case "grow":
                return self._grown()
            case "print":
                return f"{{{{ {self.any(3)} }}}}"
            case "set":
                return f"{{% set v{self._random.randint(0, 3)} = {self.any(3)} %}}"
            case "for":
                test = f" if {self.truth(2)}" if self._chance(0.3) else ""
                body = "".join(self.statement(depth - 1) for _ in range(self._random.randint(1, 3)))
                return f"{{% for i in {self._iterated()}{test} %}}{body}{{% endfor %}}"
            case "if":
                return (
                    f"{{% if {self.truth(2)} %}}{self.statement(depth - 1)}"
                    f"{{% else %}}{self.statement(depth - 1)}{{% endif %}}"
                )
            case "block":
                return f"{{% set ns.y %}}{self.statement(depth - 1)}{{% endset %}}"
            case "call":
                return f"{{% call m({self.any(1)}) %}}{self.statement(depth - 1)}{{% endcall %}}"
            case "filter":
                name = self._pick(["upper", "trim", "title", "replace('a', 'bb')", "wordcount", "list"])
                return f"{{% filter {name} %}}{self.statement(depth - 1)}{{% endfilter %}}"
            case _:
                inner = f"{{% if i %}}{{{{ loop({self._iterated()}) }}}}{{% endif %}}"
                return (
                    f"{{% for i in {self._iterated()} recursive %}}{inner}{self.statement(0)}{{% endfor %}}"
                )

    def any(self, depth: int) -> str:
        make = self._pick([self.a_list, self.a_text, self.number, self.truth, self._odd])
        return make(depth)

    def a_list(self, depth: int) -> str:
        if depth <= 0:
            return self._pick(["l", "k", "r", "ns.x", "[]", "[1]", "['a', 'b']", "range(n)", "range(100000)"])
        one, other = self.a_list(depth - 1), self.any(depth - 1)
        size = self._pick(_SIZES)
        return self._pick(
            [
                f"[{one}, {one}]",
                f"[{other}, {one}, {other}]",
                f"({one}, {other},)",
                f"({one} + {self.a_list(depth - 1)})",
                f"({one} | list)[:{size}]",
                f"({one} | list)[::-1]",
                f"({one} | list + [{other}])",
                f"{self.a_text(depth - 1)}.split({self._pick(['', self._pick(_TEXTS)])})",
                f"{self.a_text(depth - 1)}.splitlines()",
                f"({one} | {self._filter(depth - 1)} | list)",
                f"({one} | {self._pick(['sort', 'unique', 'reverse', 'list'])} | list)",
                f"({one} | map({self._mapped()}) | list)",
                f"({one} | select({self._selected(depth - 1)}) | list)",
                f"(r | {self._pick(['sort', 'groupby', 'unique', 'map'])}(attribute='b.c') | list)",
                f"(d | {self._pick(['dictsort', 'items', 'list', 'sort'])} | list)",
                "d.items() | list",
            ]
        )

    def a_text(self, depth: int) -> str:
        if depth <= 0:
            return self._pick(["s", "w", "u", "t", "ns.y", *_TEXTS])
        one, size = self.a_text(depth - 1), self._pick(_SIZES)
        return self._pick(
            [
                f"({one} ~ {self.any(depth - 1)})",
                f"({one} + {self.a_text(depth - 1)})",
                f"({one})[:{size}]",
                f"({one})[::{self._pick(['-1', '2', size])}]",
                f"{one}.{self._pick(_TEXT_METHODS)}({self._pick(['', self.a_text(depth - 1), size])})",
                f"{one}.replace({self._pick(_TEXTS)}, {self.a_text(depth - 1)})",
                f"{one}.join({self.a_list(depth - 1)} | map('string'))",
                f"({self.any(depth - 1)} | string)",
                f"({self.any(depth - 1)} | tojson({self._pick(['', 'indent=8', 'sort_keys=true'])}))",
                f"({self.a_list(depth - 1)} | join({self._pick(['', self.a_text(0)])}))",
                f"({one} | {self._pick(['upper', 'title', 'trim', 'capitalize', 'truncate', 'lower'])})",
                f"({one} | replace({self._pick(_TEXTS)}, {self.a_text(0)}))",
            ]
        )

    def number(self, depth: int) -> str:
        if depth <= 0:
            return self._pick(["ns.n", "1.5", *_SIZES])
        one, other = self.number(depth - 1), self.number(depth - 1)
        return self._pick(
            [
                f"({one} {self._pick(['+', '-', '*', '/', '//', '%', '**'])} {other})",
                f"(-{one})",
                f"({one} | round({other}))",
                f"({one} | round({other}, '{self._pick(['ceil', 'floor'])}'))",
                f"({self.a_text(depth - 1)} | int(0, {self._pick(['2', '10', '16', '36', '3'])}))",
                f"({self.a_text(depth - 1)} | float)",
                f"({self.a_list(depth - 1)} | length)",
                f"({self.a_list(depth - 1)} | sum(start={self._pick(['0', '[]'])}))",
                f"{self.a_text(depth - 1)}.{self._pick(['count', 'find', 'rfind'])}({self.a_text(depth - 1)})",
                f"({self.a_text(depth - 1)} | wordcount)",
            ]
        )

    def truth(self, depth: int) -> str:
        if depth <= 0:
            return self._pick(["true", "false", "i", "ns.x"])
        one, other = self.any(depth - 1), self.any(depth - 1)
        return self._pick(
            [
                f"({one} {self._pick(_COMPARISONS)} {other})",
                f"({one} {self._pick(_COMPARISONS)} {one})",
                f"({one} {self._pick(_COMPARISONS)} {other} {self._pick(_COMPARISONS)} {one})",
                f"({self.a_list(depth - 1)} {self._pick(_COMPARISONS)} {self.a_list(depth - 1)})",
                f"({one} is {self._pick(_TESTS)})",
                f"({one} is {self._pick(['in', 'eq', 'lt', 'divisibleby', 'sameas'])}({other}))",
                f"(not {one})",
                f"({one} and {other})",
                f"loop.changed({one}, {other})",
            ]
        )

    def _odd(self, depth: int) -> str:
        one = self.any(depth - 1) if depth > 0 else "ns.x"
        return self._pick(
            [
                "d", "none", "ns.a", "ns.a", "m", "loop", "nothing", "varargs",
                f"{{'a': {one}, 'b': {one}}}",
                f"{{({one}, {one}): {one}}}",
                f"dict(d, a={one})",
                f"namespace(d, a={one})",
                f"m({one}, *l)",
                f"(({one}) | {self._filter(0)})",
                f"({one}).{self._pick(['get', 'items', 'keys', 'values', 'index', 'count', 'a'])}",
                f"d[({one}, {one})]",
                f"d.get({one})",
                f"l.{self._pick(['count', 'index'])}({one})",
                f"loop.{self._pick(['length', 'last', 'nextitem', 'previtem', 'cycle(1, 2)', 'revindex'])}",
            ]
        )  # fmt: skip

    def _grown(self) -> str:
        return self._pick(
            [
                f"{{% set ns.x = {self.a_list(2)} %}}",
                "{% set ns.x = [ns.x, ns.x] %}",
                f"{{% set ns.x = ns.x + [{self.any(2)}] %}}",
                f"{{% set ns.a = [ns.a, {self.any(3)}] %}}",
                f"{{% set ns.a = (ns.a, {self.any(2)}) %}}",
                f"{{% set ns.a = {{'a': ns.a, 'b': {self.any(2)}}} %}}",
                f"{{% set ns.a = ns.a | {self._filter(1)} %}}",
                f"{{% set ns.y = {self.a_text(2)} %}}",
                "{% set ns.y = ns.y ~ ns.y %}",
                f"{{% set ns.n = {self.number(3)} %}}",
                "{% set ns.n = ns.n * ns.n %}",
                f"{{% macro g() %}}{{{{ ns.a }}}}{{% endmacro %}}{{% set ns.a = [ns.a, g] %}}",
                f"{{% if {self.truth(2)} %}}{{% endif %}}",
            ]
        )

    def _filter(self, depth: int) -> str:
        name = self._pick(_FILTERS)
        if self._chance(0.5):
            return name
        return (
            f"{name}({self._pick([self.any(depth), 'attribute=' + self._pick(_TEXTS), self._pick(_TEXTS)])})"
        )

    def _mapped(self) -> str:
        return self._pick(
            [repr(self._pick(_FILTERS)), "attribute='a.b.c'", "attribute=0", "'round', 99999999"]
        )

    def _selected(self, depth: int) -> str:
        return f"'{self._pick(_TESTS)}'" + (f", {self.any(depth)}" if self._chance(0.4) else "")

    def _iterated(self) -> str:
        return self._pick(
            ["range(100000)", "range(1000)", "range(60)", "ns.x", "l", "s", "d", self.a_list(1)]
        )

    def _pick(self, choices):  # type: ignore[no-untyped-def]
        return self._random.choice(choices)

    def _chance(self, share: float) -> bool:
        return self._random.random() < share
