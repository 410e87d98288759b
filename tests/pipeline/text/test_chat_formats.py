import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import ConfigError, RowError
from pipeline.text.chat_template import ChatTemplate
from pipeline.text.messages import Message
from pipeline.text.tokenization import Tokenizer
from tests.pipeline.text.published_formats import FOLDER, PublishedFormat, published_formats

FORMATS = published_formats()
TEXTS = {
    "plain": ("Be brief.", "Which queue?", "billing", "And now?", "returns"),
    "blank": (" \n s ", "\n a\n\n\nb \t", " \nx\n ", " ", "  y  "),
    "other": (
        "日本語\r\n🦙",
        "é\u3000{{ messages }}{% raw %}",
        "$5 <b>&",
        "</s>[INST] <|im_end|>\n",
        "ß'\"\\n",
    ),
}
SHAPES = ("u", "su", "uau", "suau", "ua", "uaua", "sua", "uu", "us", "a")
ROLES = {"s": "system", "u": "user", "a": "assistant"}


def conversations() -> list[tuple[list[dict[str, str]], bool]]:
    """Messages, and whether the assistant is to speak."""
    found = []
    for system, *turns in TEXTS.values():
        for shape in SHAPES:
            texts = iter(turns)
            found.append(
                (
                    [{"role": ROLES[r], "content": system if r == "s" else next(texts)} for r in shape],
                    shape[-1] != "a",
                )
            )
    return found


class Tokenizers:
    """Tokenizers of formats; one for all that have the same tokens, since loading one takes long."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loaded: dict[tuple[Path, str], Tokenizer] = {}

    def load(self, form: PublishedFormat) -> Tokenizer:
        key = (form.vocabulary, form.tokenizer_config())
        if key not in self._loaded:
            folder = self._folder / str(len(self._loaded))
            folder.mkdir()
            shutil.copy(form.vocabulary, folder / "tokenizer.model")
            (folder / "tokenizer_config.json").write_text(form.tokenizer_config(), encoding="utf-8")
            self._loaded[key] = Tokenizer.load(folder)
        return self._loaded[key]


def dated(form: PublishedFormat) -> PublishedFormat:
    """With a date in place of today's."""
    return replace(form, source=re.sub(r"strftime_now\([^)]*\)", '"2026-01-31"', form.source))


def test_all_render_as_transformers_renders_them(tmp_path: Path) -> None:
    tokenizers = Tokenizers(tmp_path)
    different, rendered, refused = [], 0, 0
    for form in map(dated, FORMATS):
        template = ChatTemplate(tokenizers.load(form), form.source, form.name)
        for messages, generation_prompt in conversations():
            expected = form.render(messages, generation_prompt)
            ours: str | None
            try:
                ours = template.render(
                    [Message(message["role"], (message["content"],)) for message in messages],
                    generation_prompt,
                )
            except RowError:
                ours = None
            rendered += expected is not None
            refused += expected is None
            if ours != expected:
                different.append((form.name, messages, generation_prompt, ours, expected))
    assert different == []
    assert rendered > 1000
    assert refused > 200


def test_a_template_that_writes_the_day_is_refused(tmp_path: Path) -> None:
    [form] = [form for form in FORMATS if "strftime_now" in form.source]
    with pytest.raises(ConfigError, match=r"mistral-small-2501: .*\(strftime_now\)"):
        ChatTemplate(Tokenizers(tmp_path).load(form), form.source, form.name)


def test_every_format_is_another_and_listed() -> None:
    assert len({form.source for form in FORMATS}) == len(FORMATS) >= 50
    assert {f"{form.name}.jinja" for form in FORMATS} == {path.name for path in FOLDER.glob("*.jinja")}
