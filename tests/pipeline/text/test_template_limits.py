"""What a template's source may not hold, found before any row and in no time."""

import time

import pytest

from pipeline.errors import ConfigError
from pipeline.text.template_limits import MAX_SOURCE, MAX_TOKENS
from pipeline.text.templates import BoundedTemplate

LARGE = {
    "text alone": ("x" * 900_000 + "{{ a }}", None),
    "text of braces and spaces": ("{ { " * 100_000 + " \n" * 200_000 + "{{ a }}", None),
    "a comment without end": ("{# " * 300_000, "Missing end of comment tag"),
    "a text without end": ("{{ '" + "a\\\\" * 200_000, "unexpected"),
    "digits without end": ("{{ " + "1_" * 200_000 + "x }}", "invalid|unexpected|digits|expected"),
    "too long": ("x" * (MAX_SOURCE + 1), "1000000 characters"),
    "as many tokens as may be": ("{{ a }}" * (MAX_TOKENS // 4), None),
    "more": ("{{ a }}" * MAX_TOKENS, "20000 tokens"),
    "branches": ("{% if a %}" + "{% elif a %}x" * 300 + "{% endif %}", None),
    "names and branches": (
        "".join(f"{{% if a %}}{{% set v{n} = a %}}{{% endif %}}" for n in range(1_500)),
        None,
    ),
    "attributes": ("{{ a" + ".b" * 5_000 + " }}", "nests more than 150 deep"),
    "filters": ("{{ a" + "|upper" * 5_000 + " }}", "nests more than 150 deep"),
    "sums": ("{{ a" + "+a" * 5_000 + " }}", "nests more than 150 deep"),
    "brackets": ("{{ " + "(" * 9_000 + "1" + ")" * 9_000 + " }}", "nest too deep"),
    "braces": ("{" * 999_999, "nest too deep"),
    "negations": ("{{ " + "not " * 9_000 + "a }}", "nest too deep"),
    "a product of texts": ("{{ 'a' * 10 ** 9 }}{{ [0] * 10 ** 8 }}", None),
    "a width": ("{{ 'x' | center(10 ** 9) }}", "No filter named 'center'"),
    "a number in sixteens": ("{{ 0x" + "f" * 200_000 + " // 3 }}", "number is too large"),
    "a number": ("{{ " + "9" * 200_000 + " }}", "more than 4300 digits"),
    "computed keys": ("{{ {" + "a: 1," * 501 + "} }}", "more than 500 computed keys"),
    "escapes": ("{% autoescape true %}{{ a }}{% endautoescape %}", "autoescape is for HTML"),
}


@pytest.mark.parametrize("name", LARGE)
def test_any_source_is_compiled_or_refused_in_no_time(name: str) -> None:
    source, refused = LARGE[name]
    begun = time.process_time()
    if refused is None:
        BoundedTemplate(source, "here")
    else:
        with pytest.raises(ConfigError, match=f"^here.*({refused})"):
            BoundedTemplate(source, "here")
    assert time.process_time() - begun < 6


LOOP, RECURSIVE = "{% for a in b %}", "{% for a in b recursive %}"
WITHIN = {
    "branches": ("{% if a %}", "{% endif %}", 90, "more than 90 blocks"),
    "other branches": ("{% if a %}{% else %}", "{% endif %}", 90, "more than 90 blocks"),
    "macros": ("{% macro m() %}", "{% endmacro %}", 90, "more than 90 blocks"),
    "calls": ("{% call m() %}", "{% endcall %}", 90, "more than 90 blocks"),
    "recursive loops": (RECURSIVE, "{% endfor %}", 45, "more than 90 blocks"),
    "loops": (LOOP, "{% endfor %}", 20, "more than 20 loops"),
    "loops with a condition": ("{% for a in b if a %}", "{% endfor %}", 20, "more than 20 loops"),
    "loops in macros": (LOOP + "{% macro m() %}", "{% endmacro %}{% endfor %}", 45, "more than 90 blocks"),
}


@pytest.mark.parametrize("name", WITHIN)
def test_blocks_within_each_other_are_counted_in_plain_words(name: str) -> None:
    begin, end, most, refused = WITHIN[name]
    BoundedTemplate(begin * most + end * most, "here")
    with pytest.raises(ConfigError, match=rf"^here, line 1: {refused}"):
        BoundedTemplate(begin * (most + 1) + end * (most + 1), "here")
