"""How deep a template may nest does not depend on who compiles it, and its errors name no line of Python."""

import pytest

from pipeline.errors import ConfigError
from pipeline.text.chat_jinja import compile_chat_template
from pipeline.text.templates import BoundedTemplate

NESTED = "{{ " + "[" * 60 + "]" * 60 + " }}"


def on_deep_stack(levels: int) -> str:
    if levels:
        return on_deep_stack(levels - 1)
    return BoundedTemplate(NESTED, "here").render({})


def test_a_deep_caller_compiles_what_a_shallow_one_does() -> None:
    assert on_deep_stack(500) == on_deep_stack(0) == "[" * 60 + "]" * 60


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("{{ " + "[" * 200 + "]" * 200 + " }}", "its brackets, operators and blocks nest too deep"),
        ("{{ " + "9" * 5000 + " }}", "a number has more than 4300 digits"),
        ("\n{% break %}", "'break' outside loop"),
        ("{{ a | nothing }}", "line 1: No filter named 'nothing'."),
    ],
)
def test_errors_are_in_the_words_of_authors(source: str, why: str) -> None:
    with pytest.raises(ConfigError, match=f"^here.*{why}") as caught:
        compile_chat_template(source, "here")
    assert "<template>" not in str(caught.value)
    assert "recursion" not in str(caught.value)
