"""Cutting a text to its first tokens, with Mistral's own vocabularies."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import RowError
from pipeline.text.control_tokens import without_marks
from pipeline.text.first_tokens import first_tokens
from pipeline.text.tokenization import Tokenizer
from tests.pipeline.text.test_tokenization import make

TEXTS = st.text(st.characters(codec="utf-8"), max_size=60) | st.lists(
    st.sampled_from(
        ["Hello", " wor", "ld", "  ", "\n", "é", "日本語", "👩‍👩‍👧", "e\u0301", "</s>", "[INST]", "0"]
    ),
    max_size=40,
).map("".join)


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> list[Tokenizer]:
    return [make(tmp_path_factory.mktemp(version), version) for version in ("v1", "v3")]


@settings(max_examples=150, deadline=None)
@given(text=TEXTS, count=st.integers(0, 40))
def test_what_is_left_is_a_beginning_of_so_many_tokens(
    tokenizers: list[Tokenizer], text: str, count: int
) -> None:
    for tokenizer in tokenizers:
        cut = first_tokens(tokenizer, text, count)
        assert text.startswith(cut)
        assert len(tokenizer.encode(cut)) <= count
        assert (cut == text) == (len(tokenizer.encode(text)) <= count)
        marked = first_tokens(tokenizer, tokenizer.mark(text), count)
        assert tokenizer.mark(text).startswith(marked)
        assert without_marks(marked) == cut


def test_a_long_text_fills_its_tokens(tokenizers: list[Tokenizer]) -> None:
    text = "The quick brown fox jumps over the lazy dog. " * 2000
    for tokenizer in tokenizers:
        cut = first_tokens(tokenizer, text, 1000)
        assert len(tokenizer.encode(cut)) == 1000
        assert tokenizer.encode(cut) == tokenizer.encode(text)[:1000]
        assert first_tokens(tokenizer, "x" * 100_000, 10) == "x" * len(first_tokens(tokenizer, "x" * 200, 10))


def test_characters_of_several_tokens_stay_whole(tokenizers: list[Tokenizer]) -> None:
    """A character that the vocabulary lacks takes a token for each of its bytes."""
    text = "\U000130b8" * 5
    [tokenizer, _] = tokenizers
    assert len(tokenizer.encode(text)) == 21, "a dummy space, and four bytes for each"
    for count in range(22):
        assert first_tokens(tokenizer, text, count) == text[: max(0, count - 1) // 4]


def test_half_a_character_is_a_row_error(tokenizers: list[Tokenizer]) -> None:
    with pytest.raises(RowError, match="INVALID_UTF8"):
        first_tokens(tokenizers[0], "a\ud800b", 1)
    assert first_tokens(Tokenizer.load(Path("configs/demo/tiny-mixtral")), "", 0) == ""
