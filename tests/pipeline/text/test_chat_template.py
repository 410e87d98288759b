import json
import random
import shutil
from pathlib import Path
from typing import Any

import mistral_common
import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from pipeline.config.input import InputSection
from pipeline.errors import ConfigError, RowError, RowErrorCode
from pipeline.text.choose_format import choose_format
from pipeline.text.messages import parse_messages
from pipeline.text.tokenization import Tokenizer

MODEL = Path(mistral_common.__file__).parent / "data" / "tokenizer.model.v1"
CHATML = (
    "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}"
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] "
    "+ '<|im_end|>' + '\\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
# trims, compares and refuses, as templates in the wild do
ZEPHYR = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' %}
    {%- set system = messages[0]['content'].strip() %}
    {%- set messages = messages[1:] %}
{%- endif %}
{%- for message in messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('roles must alternate') }}
    {%- endif %}
    {%- if loop.first and system is defined %}
        {{- '### System:\\n' ~ system ~ '\\n' }}
    {%- endif %}
    {{- '### ' + message.role | title + ':\\n' + message.content | trim + eos_token }}
    {%- if loop.index > 40 %}{% break %}{% endif %}
{%- endfor %}
{{- '### Assistant:\\n' }}
"""
SNIPPETS = [
    "Hi",
    " Hi ",
    "\n",
    "<",
    "<|im_end|>",
    "<|im_start|>system\n",
    "</s>",
    "<s>",
    "日本",
    "🦙",
    "\ufdd0",
    "<<",
    "| ",
]


def load(folder: Path, template: str) -> Tokenizer:
    decoder = {
        "1": {"content": "<s>", "special": True},
        "2": {"content": "</s>", "special": True},
        "32000": {"content": "<|im_end|>", "special": True},
        "32001": {"content": "<|im_start|>", "special": True},
    }
    config = {"added_tokens_decoder": decoder, "eos_token": "<|im_end|>", "chat_template": template}
    shutil.copy(MODEL, folder / "tokenizer.model")
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return Tokenizer.load(folder)


def encode(tokenizer: Tokenizer, messages: list[dict[str, Any]]) -> list[int]:
    """As a job with rows of messages does it."""
    section = InputSection.model_validate({"path": "x", "prompt": {"messages": "m"}})
    marked = [message.map(tokenizer.mark) for message in parse_messages(messages, answer_follows=False)]
    return choose_format(section, tokenizer, ()).encode(marked)


def oracle(template: str, messages: list[dict[str, Any]], generation_prompt: bool = True) -> str:
    [text], _ = render_jinja_template(
        conversations=[messages],
        chat_template=template,
        add_generation_prompt=generation_prompt,
        bos_token="<s>",
        eos_token="<|im_end|>",
    )
    return text


def text_of(tokenizer: Tokenizer, ids: list[int]) -> str:
    """The ids as text, control tokens by name; segments lose the dummy space they were given."""
    names = {token_id: name for name, token_id in tokenizer.trusted_tokens.items()}
    text, at_start = b"", True
    for token_id in ids:
        if token_id in names:
            text += names[token_id].encode()
        else:
            data = tokenizer.piece_bytes(token_id)
            text += data.removeprefix(b" ") if at_start else data
        at_start = token_id in names
    return text.decode()


@pytest.mark.parametrize("template", [CHATML, ZEPHYR])
def test_renders_what_transformers_renders(tmp_path: Path, template: str) -> None:
    tokenizer = load(tmp_path, template)
    rng = random.Random(5)
    for _ in range(300):
        messages = (
            [{"role": "system", "content": "".join(rng.choices(SNIPPETS, k=2))}] if rng.random() < 0.5 else []
        )
        for turn in range(2 * rng.randrange(3) + 1):
            role = "assistant" if turn % 2 else "user"
            messages.append({"role": role, "content": "x" + "".join(rng.choices(SNIPPETS, k=4))})
        ids = encode(tokenizer, messages)
        assert text_of(tokenizer, ids) == oracle(template, messages)
        spoken = [message for message in messages if template == CHATML or message["role"] != "system"]
        starts = len(messages) + 1 if template == CHATML else 0
        assert [ids.count(i) for i in (32000, 32001, 2)] == [len(spoken), starts, 0], (
            "users wrote control tokens"
        )


@pytest.mark.parametrize("template", [CHATML, ZEPHYR])
def test_behind_the_assistants_last_word_no_answer_is_asked_for(tmp_path: Path, template: str) -> None:
    messages = [{"role": "user", "content": "Hi "}, {"role": "assistant", "content": " Hello <|im_end|>"}]
    text = text_of(tokenizer := load(tmp_path, template), encode(tokenizer, messages))
    assert text == oracle(template, messages, generation_prompt=False)
    assert text != oracle(template, messages)


def test_chatml_ids(tmp_path: Path) -> None:
    tokenizer = load(tmp_path, CHATML)
    ids = encode(tokenizer, [{"role": "user", "content": "Hi <|im_end|></s>"}])
    plain = tokenizer.encode
    assert ids == [
        32001, *plain("user\nHi <|im_end|></s>"), 32000, *plain("\n"), 32001, *plain("assistant\n"),
    ]  # fmt: skip


def test_a_template_may_refuse(tmp_path: Path) -> None:
    tokenizer = load(tmp_path, ZEPHYR)
    with pytest.raises(RowError) as caught:
        encode(tokenizer, [{"role": "user", "content": "SECRET"}, {"role": "user", "content": "x"}])
    assert caught.value.code is RowErrorCode.BAD_MESSAGES
    assert "SECRET" not in str(caught.value)


def test_a_broken_template_names_the_checkpoint(tmp_path: Path) -> None:
    tokenizer = load(tmp_path, "{% for message in messages %}")
    with pytest.raises(ConfigError, match=r"chat template of tokenizer_config\.json, line 1"):
        encode(tokenizer, [{"role": "user", "content": "Hi"}])
