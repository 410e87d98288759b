import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from pipeline.errors import ConfigError, RowError, RowErrorCode
from pipeline.text.chat_jinja import compile_chat_template
from pipeline.text.templates import BoundedTemplate

MESSAGES = [{"role": "user", "content": "Hi <b>"}, {"role": "assistant", "content": "é"}]


def render(source: str) -> str:
    return compile_chat_template(source, "test").render(
        {"messages": MESSAGES, "tools": None, "documents": None, "add_generation_prompt": False}
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ nothing }}|{{ messages[0].nothing }}|{{ messages[0].get('nothing') }}", "||None"),
        ("{% if messages[0].tool_calls or enable_thinking %}x{% else %}y{% endif %}", "y"),
        ("{% for call in messages[0].tool_calls %}x{% endfor %}{{ nothing ~ 'y' }}", "y"),
        ("{% for m in messages %}{% generation %}{{ m.content }}{{ loop.index }}{% endgeneration %}\n"
         "{% endfor %}", "Hi <b>1é2"),
        ("{% set x = 1 %}{%- generation -%} {% set x = 2 %}{{ x }} {%- endgeneration -%} {{ x }}", "21"),
        ("{{ messages | tojson(separators=(',', ':'), sort_keys=true) }}",
         '[{"content":"Hi <b>","role":"user"},{"content":"é","role":"assistant"}]'),
        ("{{ messages[1].content | tojson(ensure_ascii=true) }}", '"\\u00e9"'),
        ("a\n{% if true %}\n  b\n  {% endif %}\n\n", "a\n  b\n"),
        ("{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ m.role }}{% endfor %}",
         "assistant"),
    ],
)  # fmt: skip
def test_renders_as_transformers_does(source: str, expected: str) -> None:
    [text], _ = render_jinja_template(conversations=[MESSAGES], chat_template=source)
    assert (text, render(source)) == (expected, expected)


@pytest.mark.parametrize(
    "source", ["{{ 'a' + nothing }}", "{{ messages[0].nothing.more }}", "{{ nothing() }}"]
)
def test_what_fails_there_is_a_row_error_here(source: str) -> None:
    with pytest.raises(Exception, match=r"undefined|no attribute"):
        render_jinja_template(conversations=[MESSAGES], chat_template=source)
    with pytest.raises(RowError) as caught:
        render(source)
    assert caught.value.code is RowErrorCode.TEMPLATE_FAILED, "no column of the row is missing"


def test_a_template_may_refuse_the_messages() -> None:
    with pytest.raises(RowError, match="refuses these messages") as caught:
        render("{{ raise_exception('Hi ' + messages[0].content) }}")
    assert caught.value.code is RowErrorCode.BAD_MESSAGES


@pytest.mark.parametrize(
    "source",
    [
        "{{ [1, 2] | tojson(separators=('xxxxxxxxx', '')) }}",
        "{% for i in range(100000) %}{% generation %}" + "literal " * 99 + "{% endgeneration %}{% endfor %}",
    ],
)
def test_a_bomb_is_a_row_error(source: str) -> None:
    with pytest.raises(RowError, match=r"was stopped: (tojson|it takes|it makes)"):
        render(source)


def test_generation_is_a_tag_of_chat_templates_alone() -> None:
    source = "{% generation %}{% endgeneration %}"
    assert render(source) == ""
    with pytest.raises(ConfigError, match="line 1: Encountered unknown tag 'generation'"):
        BoundedTemplate(source, "test")
    with pytest.raises(ConfigError, match="test, line 1"):
        compile_chat_template("{% generation %}", "test")
