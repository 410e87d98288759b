"""Checkpoints with a tokenizer.json alone: the same ids as the `tokenizers` package and transformers give."""

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken
from transformers import AutoTokenizer

from pipeline.text.tokenization import Tokenizer
from tests.pipeline.text.tokenizer_kinds import (
    CORPUS,
    SPECIAL,
    add_tokens,
    byte_style,
    llama_style,
    metaspace_style,
    nemo_style,
    write_trained,
)

STYLES = [llama_style, metaspace_style, byte_style, nemo_style]
WORDS = [
    *" ".join(CORPUS).split()[:400],
    "\n",
    " ",
    "  ",
    "日本",
    "🦙",
    "é",
    "(",
    '"',
    "\u2581",
    "\u0120a",
    "<0x41>",
]
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join))
WITHOUT_TOKENS = TEXTS.filter(lambda text: not any(token in text for token in SPECIAL))
Pair = tuple[Tokenizer, Any]


@pytest.fixture(scope="module", params=STYLES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Ours and transformers'."""
    folder = tmp_path_factory.mktemp(request.param.__name__)
    write_trained(folder, request.param())
    tokens = [AddedToken("<mask>", lstrip=True, rstrip=True), AddedToken("<think>", normalized=False)]
    add_tokens(folder, *tokens, AddedToken("<|im_start|>", special=True, normalized=False))
    return Tokenizer.load(folder), AutoTokenizer.from_pretrained(folder)


@settings(max_examples=80, deadline=None)
@given(text=WITHOUT_TOKENS)
def test_ids_and_texts_are_those_of_transformers(pair: Pair, text: str) -> None:
    ours, oracle = pair
    ids = ours.encode(text)
    assert ids == oracle.encode(text, add_special_tokens=False)
    assert [*([ours.bos_id] if ours.adds_bos else []), *ids] == oracle.encode(text)
    if ours.dummy_space:
        assert ours.decode(ids) in (text.replace("\u2581", " "), " " + text.replace("\u2581", " "))
    else:
        assert ours.decode(ids) == text


@settings(max_examples=80, deadline=None)
@example(parts=["<s>", "a", "</s>", " b", "<s>"])
@given(parts=st.lists(st.one_of(WITHOUT_TOKENS, st.sampled_from([*SPECIAL[1:], "<think>"])), max_size=6))
def test_trusted_text_has_the_tokens_that_transformers_finds(pair: Pair, parts: list[str]) -> None:
    ours, oracle = pair
    text = "".join(parts)
    assert ours.encode_trusted(text) == oracle.encode(text, add_special_tokens=False)


@settings(max_examples=40, deadline=None)
@given(before=WITHOUT_TOKENS, behind=WITHOUT_TOKENS)
def test_a_text_that_goes_on_has_no_dummy_space(pair: Pair, before: str, behind: str) -> None:
    ours = pair[0]
    table = b"".join(map(ours.piece_bytes, ours.encode_continuation(behind)))
    assert table.decode() == (behind.replace("\u2581", " ") if ours.dummy_space else behind)
