"""Templates that once took too long or too much, or might: each with a word of the message that stops it.

`NESTED` works on a list that is reached in 2**40 ways, `KEPT` is what a loop keeps, `AGAIN` what it does
again and again; None: the template ends well.
"""

HALF = "{% set ns = namespace(x=[1]) %}{% for i in range(40) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}"
TUPLES = "{% set ns = namespace(x=(1,)) %}{% for i in range(40) %}{% set ns.x = (ns.x, ns.x) %}{% endfor %}"


def again(statement: str, first: str = "") -> str:
    return (
        f"{{% set ns = namespace(x=[], n=1, s='ab') %}}{first}"
        f"{{% for i in range(100000) %}}{statement}{{% endfor %}}"
    )


def kept(value: str, first: str = "") -> str:
    return again(f"{{% set ns.x = [ns.x, {value}] %}}", first)


NESTED = {
    f"nested {what}": (make + use, "steps")
    for make, what, use in (
        *(
            (HALF, use, f"{{{{ {use} }}}}")
            for use in (
                "ns.x == [ns.x[0], ns.x[1]]",
                "ns.x[0] != [ns.x[0][0], ns.x[1][1]]",
                "ns.x < [ns.x[0], ns.x[1], 1]",
                "[ns.x[0], ns.x[1]] in [ns.x]",
                "ns.x in {'a': ns.x}.values()",
                "1 < ns.x == [ns.x[0], ns.x[1]]",
                "ns.x is eq([ns.x[0], ns.x[1]])",
                "ns.x is in([[ns.x[0], ns.x[1]]])",
                "[ns.x].index([ns.x[0], ns.x[1]])",
                "[ns.x].count([ns.x[0], ns.x[1]])",
                "[ns.x, [ns.x[0], ns.x[1]]] | sort",
                "[ns.x, [ns.x[0], ns.x[1]]] | max",
                "[ns.x] | map('upper') | list",
                "ns.x | upper",
                "ns.x ~ ''",
                "ns.x | string",
                "ns.x | tojson",
                "ns.x is lower",
                "[ns.x] | join",
                "[{'a': ns.x}, {'a': [ns.x[0], ns.x[1]]}] | groupby('a')",
                "{'a': ns.x} == {'a': [ns.x[0], ns.x[1]]}",
                "{'a': ns.x, 'b': [ns.x[0], ns.x[1]]} | dictsort(by='value')",
                "[[ns.x]] | select('eq', [[ns.x[0], ns.x[1]]]) | list",
                "{'a': ns.x}.items() == {'a': [ns.x[0]]}.items()",
            )
        ),
        *(
            (TUPLES, use, f"{{{{ {use} }}}}")
            for use in (
                "{ns.x: 1}",
                "{'a': 1}[ns.x]",
                "{'a': 1}.get(ns.x)",
                "ns.x in {'a': 1}",
                "[ns.x] | unique | list",
                "dict([(ns.x, 1)])",
                "namespace([(ns.x, 1)])",
                "'a' is in({'b': ns.x}.items())",
                "[ns.x] | sort",
                "[{'a': 1}] | join(attribute=ns.x)",
                "[{'a': 1}] | map(attribute=ns.x) | list",
                "[{'a': 1}] | selectattr(ns.x) | list",
                "ns.x is filter",
            )
        ),
        (HALF, "changed", "{% for i in [1, 2] %}{{ loop.changed([ns.x[0], ns.x[1]]) }}{% endfor %}"),
    )
}

RANGE = "{% set r = range(100000) %}"
DOTS = "{% set t = s | replace('a', 'a.') %}"
DIGITS = "{% set t = (s | replace('a', '7'))[:4000] ~ '.7' %}"
LOWERED = (
    "l[:512] | map(attribute='a', default=s) | sort",
    "l[:512] | map(attribute='a', default=s) | unique | list",
    "l[:512] | map(attribute='a', default=s) | max",
    "l[:512] | map(attribute='a', default=s) | min",
    "l[:512] | map(attribute='a', default={'k': s}) | groupby('k')",
    "{" + "".join(f"{n}: s, " for n in range(500)) + "} | dictsort(by='value')",
)
LARGE = "{% set r = range(100000) | list %}"
KEPT = {
    "slices": (kept("r[:]", LARGE), "MB"),
    "slices of a text": (kept("t[1:]", "{% set t = 'é' ~ s %}"), "MB"),
    "lists of a range": (kept("range(100000) | list"), "MB"),
    "sums": (kept("r + r", LARGE), "MB"),
    "sorted lists": (kept("r | sort", LARGE), "MB|steps"),
    "reversed lists": (kept("r[::-1]", LARGE), "MB"),
    "mapped lists": (kept("r | map('string') | list", LARGE), "MB|steps"),
    "lists of characters": (kept("s | list"), "MB"),
    "pieces": (kept("s.split('a')"), "MB|steps"),
    "words": (kept("w.split()"), "MB|steps"),
    "lines": (kept("w.splitlines()"), "MB|steps"),
    "texts in capitals": (kept("s.upper()"), "MB"),
    "texts, trimmed": (kept("(s ~ ' ') | trim"), "MB|characters"),
    "objects": (kept("dict(d)"), "MB|steps"),
    "namespaces": (kept("namespace(d)"), "MB|steps"),
    "arguments": (kept("m(*r)", LARGE + "{% macro m() %}{% set ns.y = varargs %}{% endmacro %}"), "MB|steps"),
    "groups": (kept("r | groupby('a')"), "MB|steps"),
    "pairs": (kept("d.items() | list"), "MB|steps"),
    "large numbers": (kept("-z"), "too large"),
    "numbers of sixteens": (kept("s | int(0, 16)"), "too large|steps"),
    "literal lists": (kept("[" + "i, " * 500 + "]"), "steps"),
    "literal objects": (kept("{" + "".join(f"'{n}': i, " for n in range(200)) + "}"), "steps"),
    "generators within each other": (again("{% set ns.x = ns.x | map('upper') %}"), "steps|MB"),
    "generators of choices": (again("{% set ns.x = ns.x | select %}"), "steps|MB"),
    "macros": (again("{% macro g() %}{{ ns.x }}{% endmacro %}{% set ns.x = [ns.x, g] %}"), "steps"),
    "loops": (again("{% set ns.x = [ns.x, loop] %}"), None),
    "printed lists of numbers": ("{% set r = [z] * 1 %}{{ r }}", "for numbers"),
    "a list of large numbers": ("{{ range(100000) | map('default', z) | list }}{{ [z, z] }}", None),
    "bytes": (kept("b + b"), "characters"),
    "titles": (kept("j | title"), "MB|steps"),
    "longer texts in lower case": (
        kept("t.lower()", "{% set t = '\\U0001d400' ~ s | replace('a', 'İ') %}"),
        "MB",
    ),
    "texts sorted in lower case": (kept("[s ~ i, s ~ i] | sort | first"), "MB|steps|characters"),
    "many large numbers": (again("{{ [z, z, z, z, z, z, z, z] }}"), "characters|steps"),
}

AGAIN = {
    "a loop that finds nothing": (again("{% for j in range(100000) if false %}{% endfor %}"), "steps"),
    "a search backwards": (again("{{ s.rfind('b' ~ s[:100000]) }}"), "steps|characters"),
    "a search": (
        again("{{ s[:29000].count('ab' * 1 if false else 'a' ~ s[:98] ~ 'b') }}"),
        "steps|characters",
    ),
    "a strip": (again("{{ s.strip('bcdefghijk' ~ s) | length }}"), "steps|characters"),
    "a trim": (again("{{ s | trim('bcdefghijk' ~ s) | length }}"), "steps|characters"),
    "a comparison of texts": (
        again("{% if t == u %}{% endif %}", "{% set t = s ~ 1 %}{% set u = s ~ 1 %}"),
        "steps",
    ),
    "a search in a list": (again("{% if -1 in r %}{% endif %}", LARGE), "steps"),
    "a search in a range": (again("{% if 0.5 in range(100000) %}{% endif %}"), "steps"),
    "a search in a range, chained": (again("{% if 0.5 in r == 1 %}{% endif %}", RANGE), "steps"),
    "a search in a range at the end": (again("{% if 1 != 0.5 in r %}{% endif %}", RANGE), "steps"),
    "a search in a generator, chained": (
        again(
            "{% if t in (l | map(attribute='a', default=s ~ i)) == 1 %}{% endif %}", "{% set t = s ~ 'b' %}"
        ),
        "steps|characters",
    ),
    **{f"in lower case, {use[-30:]}": (f"{{{{ {use} | length }}}}", "MB|steps") for use in LOWERED},
    "attributes of an empty list": (again("{{ e | sort(attribute=t) | length }}", DOTS), "steps|MB"),
    "an attribute of numbers": (again("{{ e | map(attribute=t) | list | length }}", DIGITS), "steps|MB"),
    "an attribute that is a tuple": (again("{{ [d] | join(attribute=(1, (2, 3))) }}"), "TypeError"),
    "bytes as numbers": (again("{{ b | float }}"), "steps"),
    "bytes as whole numbers": (again("{{ b | int }}"), "steps"),
    "texts rounded up": ("{{ s | round(3, 'ceil') }}", "TypeError"),
    "lists rounded down": ("{{ l | round(2, 'floor') }}", "TypeError"),
    "rounded to a text": ("{{ 5 | round(s, 'floor') }}", "TypeError"),
    "a count in a range": (again("{{ range(100000).count(0.5) }}"), "not use"),
    "a choice of nothing": (again("{{ r | select('eq', -1) | first | default('') }}", LARGE), "steps|MB"),
    "a join of nothing": (
        again("{{ e | join }}", LARGE + "{% set e = r | map('trim', '0123456789') | list %}"),
        "steps|MB",
    ),
    "a deep attribute": (again("{{ r | map(attribute='" + "a." * 5000 + "a') | list }}", LARGE), "steps"),
    "titles": (again("{{ w | title | length }}"), "steps|MB"),
    "titles of single letters": ("{{ (j ~ j ~ j ~ j ~ j ~ j) | title | length }}", "steps|MB"),
    "words counted": (again("{{ w | wordcount }}"), "steps|MB"),
    "numbers parsed": (again("{{ ('1' ~ s) | int }}{{ ('1' ~ s) | float }}"), "steps|characters"),
    "scoped blocks": (
        "".join(f"{{% set v{n} = 1 %}}" for n in range(2000))
        + "{% for i in range(100000) %}{% block b scoped %}{{ i }}{% endblock %}{% endfor %}",
        "steps",
    ),
    "a recursive loop": ("{% for i in r recursive %}{{ loop(r) }}{% endfor %}", "deep"),
    "a macro of itself": ("{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}", "deep"),
    "callers": (
        "{% macro m() %}{{ caller() }}{% call m() %}x{% endcall %}{% endmacro %}{% call m() %}x{% endcall %}",
        "deep",
    ),
    "indented JSON": (
        "{% set ns = namespace(x=range(90000) | list) %}"
        "{% for i in range(200) %}{% set ns.x = [ns.x] %}{% endfor %}"
        "{{ ns.x | tojson(indent=8) }}",
        "characters|steps",
    ),
    "sums of lists": (
        LARGE
        + "{{ [r, r, r, r, r, r, r, r] | sum(start=[]) | length }}"
        + again("{{ [r, r, r, r] | sum(start=[]) | length }}"),
        "MB",
    ),
    "a rounded number": ("{{ 5 | round(-200000000) }}", "precision"),
    "a number rounded up": ("{{ 5 | round(200000000, 'ceil') }}", "precision"),
    "numbers rounded up": ("{{ [5] | map('round', 200000000, 'ceil') | list }}", "precision"),
    "an odd text": ("{{ '%999999999d' is odd }}", "for numbers"),
    "a text that is divided": ("{{ '%999999999d' is divisibleby(3) }}", "for numbers"),
    "odd texts": ("{{ ['%999999999d'] | select('even') | list }}", "for numbers"),
    "a power of powers": ("{{ 2 ** 64 ** 64 }}", "too large"),
    "squares": (again("{% set ns.n = (ns.n + 2) * (ns.n + 2) %}"), "too large"),
    "doubles": (again("{% set ns.n = ns.n + ns.n %}"), "too large"),
    "a set of keys": ("{{ d.keys() - d.keys() }}", "TypeError"),
    "nesting": (again("{% set ns.x = [ns.x] %}") + "{{ ns.x == [ns.x] }}", "deep"),
}

CORPUS = KEPT | AGAIN
