"""Where a template may have its question, and what is said of the place."""

import pytest

from pipeline.errors import ConfigError
from pipeline.text.question_place import find_question


@pytest.mark.parametrize(
    ("template", "behind"),
    [
        ("{{ text }}\n{{ question }}", ()),
        ("{{ text }}\n{{ question }}\n{{ options }}\nAnswer:", ()),
        ("{% for m in parts %}{{ m }}{% endfor %}{{ question | trim }}", ()),
        ("{{ question }}\n{{ text }}", ("text",)),
        ("{{ a }}{{ question }}{{ row['b c'] }}{{ a }}{{ options }}", ("row", "a")),
        ("{{ question }}{% for i in range(2) %}{{ i }}{% endfor %}", ()),
        ("{{ question | upper | replace('?', '.') }} {{ options | trim }}", ()),
        ("{{ question }}{% if city is defined %}{{ city }}{% endif %}", ("city",)),
    ],
)
def test_what_is_read_behind_the_question(template: str, behind: tuple[str, ...]) -> None:
    place = find_question(template)
    assert place.behind == behind
    assert (place.doubt is None) == (not behind)
    for name in behind:
        assert f"{{{{ {name} }}}}" in str(place.doubt)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ text }}", r"\{\{ question \}\} exactly once, .*; it holds it never"),
        ("{{ question }}{{ text }}{{ question }}", "holds it 2 times"),
        ("{{ question ~ question }}", "holds it 2 times"),
        (
            "{% if text %}{{ question }}{% endif %}",
            r"\{\{ question \}\} stands in a block \{% ... %\}, line 1",
        ),
        ("{% set q = question %}\n{{ q }}", "stands in a block"),
        ("{{ options }}{{ text }}{{ question }}", r"\{\{ options \}\} stands for .* once, behind"),
        ("{{ question }}{{ options }}{{ options }}", r"\{\{ options \}\} stands for .* once, behind"),
        (
            "{{ question }}\n{% if a %}{{ options }}{% endif %}",
            r"\{\{ options \}\} stands in a block .*, line 2",
        ),
        ("\n{{ question if text else '' }}", r"\{\{ question \}\} stands within an expression, line 2"),
        ("{{ question ~ ' ' ~ text }}", r"within an expression, line 1: write it by itself"),
        ("{{ question | replace('a', text) }}", "within an expression"),
        ("{{ question[:20] }}", "within an expression"),
        ("{{ [question] | join }}", "within an expression"),
        ("{{ options ~ question }}", r"\{\{ question \}\} stands within an expression"),
        ("{{ question }}{{ options or text }}", r"\{\{ options \}\} stands within an expression"),
    ],
)
def test_places_that_are_refused(template: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^input.prompt.template: .*{message}"):
        find_question(template)
