"""Places of tokens in texts: every character is some token's, whatever the format puts around the text."""

import tempfile
from functools import cache
from pathlib import Path

import mistral_common
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.input import InputSection
from pipeline.errors import RowError, RowErrorCode
from pipeline.text.choose_format import choose_format
from pipeline.text.prompt_format import PlainFormat, PromptFormat
from pipeline.text.prompts import PromptBuilder
from pipeline.text.text_offsets import TextOffsets, without_space_around
from pipeline.text.tokenization import Tokenizer
from tests.pipeline.text.tokenizer_kinds import KINDS

DATA = Path(mistral_common.__file__).parent / "data"
TOKENIZER = Tokenizer.load(DATA)  # the last of its files: a format with control tokens
TEXT = "Anna  lives in Köln, 日本 🙂"


def format_of(**section: object) -> tuple[PromptFormat, PromptBuilder]:
    given_section = InputSection.model_validate({"path": "x", "prompt": {"column": "q"}, **section})
    form = choose_format(given_section, TOKENIZER, ())
    return form, PromptBuilder(given_section, form, 1 << 20)


def check(form: PromptFormat, builder: PromptBuilder, text: str) -> None:
    prompt = builder.build({"q": text})
    places = TextOffsets(form).of_prompt(prompt.token_ids, prompt.text)
    assert len(places) == len(prompt.token_ids)
    covered = {i for start, end in places for i in range(start, end)}
    assert covered == set(range(len(text)))
    for token_id, (start, end) in zip(prompt.token_ids, places, strict=True):
        if end == start + len(piece := TOKENIZER.piece(token_id)) and end > start:
            assert text[start:end] == piece or "\\x" in piece


@pytest.mark.parametrize(
    "section",
    [
        {"chat": False},
        {"chat": True},
        {"chat_template": "{% for m in messages %}<<{{ m.role }}>> {{ m.content }} <<end>>{% endfor %}"},
    ],
    ids=["plain", "chat", "template"],
)
@given(text=st.one_of(st.just(TEXT), st.just(" " + TEXT), st.text(min_size=1).filter(str.strip)))
def test_every_character_belongs_to_a_token(section: dict[str, object], text: str) -> None:
    form, builder = FORMATS.setdefault(str(section), format_of(**section))
    check(form, builder, text)


FORMATS: dict[str, tuple[PromptFormat, PromptBuilder]] = {}


@pytest.mark.parametrize("filter", ["trim", "trim | upper | lower", "replace('  ', '')"])
@pytest.mark.parametrize("text", ["  hello world", "hello\n", " hello \n\n", "hello", "\u2581hello\u2581 "])
def test_a_template_that_takes_white_space_away(filter: str, text: str) -> None:
    form, builder = format_of(chat_template="A: {{ messages[0].content | " + filter + " }}\nB:")
    places = TextOffsets(form).of_prompt(builder.build({"q": text}).token_ids, text)
    covered = {i for start, end in places for i in range(start, end)}
    assert {i for i, character in enumerate(text) if not character.isspace()} <= covered


OPEN = pytest.mark.xfail(strict=True, reason="fails, and whether the package or we are wrong is not known")


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=[OPEN] if kind in ("tokenizers, llama", "tokenizers, metaspace") else [])
        for kind in KINDS
    ],
)
@given(text=st.text(st.sampled_from("ab é日🙂\u2581\n\u3000<s>"), min_size=1))
def test_places_are_those_of_the_tokenizers_package(kind: str, text: str) -> None:
    """And every kind of vocabulary gives each character of a text a token, whatever it writes spaces as."""
    tokenizer, package = loaded(kind)
    ids = tokenizer.encode(text)
    places = TextOffsets(PlainFormat(tokenizer, frozenset())).of_text(ids, text)
    assert {i for start, end in places for i in range(start, end)} == set(range(len(text)))
    if package is None:
        return
    encoded = package.encode(text, add_special_tokens=False)
    if encoded.ids == ids:  # a row's text gives no control tokens
        expected = [without_space_around(text, offsets) for offsets in encoded.offsets]
        assert [without_space_around(text, place) for place in places] == expected


@cache
def loaded(kind: str) -> tuple[Tokenizer, tokenizers.Tokenizer | None]:
    with tempfile.TemporaryDirectory() as folder:
        KINDS[kind](Path(folder))
        file = Path(folder) / "tokenizer.json"
        package = tokenizers.Tokenizer.from_file(str(file)) if file.exists() else None
        return Tokenizer.load(folder), package


def test_control_tokens_of_the_author_stand_for_their_names() -> None:
    form, builder = format_of(chat=False, prompt={"template": "<s>[INST] {{ q }} [/INST]"})
    prompt = builder.build({"q": "Anna"})
    assert prompt.text == "<s>[INST] Anna [/INST]"
    places = TextOffsets(form).of_prompt(prompt.token_ids, prompt.text)
    assert places[0] == (0, 3)
    assert {i for start, end in places for i in range(start, end)} == set(range(len(prompt.text)))


def test_token_ids_have_the_text_that_they_decode_to() -> None:
    form, _ = format_of(prompt={"token_ids": "q"})
    ids = [1, *TOKENIZER.encode("Anna lives")]
    text = TOKENIZER.decode(ids)
    places = TextOffsets(form).of_prompt(ids, None)
    assert "".join(text[start:end] for start, end in places) == text


def test_a_text_that_the_tokens_do_not_give_back_is_the_rows_fault() -> None:
    form, builder = format_of(chat=False)
    offsets = TextOffsets(form)
    ids = builder.build({"q": "Anna lives"}).token_ids
    for text in ("Anna leaves", "Anna lives here", "Berta"):
        with pytest.raises(RowError) as raised:
            offsets.of_prompt(ids, text)
        assert raised.value.code is RowErrorCode.TEXT_NOT_FOUND
        assert text not in raised.value.message


def test_white_space_around_a_span() -> None:
    assert without_space_around(" a b ", (0, 5)) == (1, 4)
    assert without_space_around("  ", (0, 2)) == (2, 2)
