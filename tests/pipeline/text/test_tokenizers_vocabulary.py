"""Checkpoints with a tokenizer.json alone: the same ids as the `tokenizers` package and transformers give."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, models, pre_tokenizers
from transformers import AutoTokenizer

from pipeline.errors import ConfigError
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
ODD = ["\n", " ", "  ", "日本", "🦙", "é", "(", '"', "\u2581", "\u0120a", "<0x41>"]
WORDS = [*" ".join(CORPUS).split()[:400], *ODD]
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
    assert [*ours.around.before, *ids] == oracle.encode(text)
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
@given(text=WITHOUT_TOKENS)
def test_a_text_that_goes_on_has_no_dummy_space(pair: Pair, text: str) -> None:
    ours = pair[0]
    written = b"".join(map(ours.piece_bytes, ours.encode_continuation(text))).decode()
    assert written == (text.replace("\u2581", " ") if ours.dummy_space else text)


@pytest.mark.parametrize("style", [llama_style, metaspace_style, byte_style])
@pytest.mark.parametrize(
    "flags",
    [
        {"normalized": True},
        {"normalized": False, "single_word": True},
        {"normalized": False, "lstrip": True},
        {"normalized": False, "rstrip": True, "single_word": True},
        {"normalized": True, "lstrip": True, "rstrip": True},
    ],
    ids=str,
)
def test_what_an_added_token_demands_and_takes_along(
    tmp_path: Path, style: Callable[[], tokenizers.Tokenizer], flags: dict[str, bool]
) -> None:
    write_trained(tmp_path, style())
    add_tokens(tmp_path, AddedToken("<think>", **flags), AddedToken("word", **flags))
    ours, oracle = Tokenizer.load(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    shapes = "Ta", "xTa", "x T a", "x  T  aT", "</s>Ta", "TT", "\nT\n", "x \n T\n b", "(T)", "é T", " T"
    for text in (shape.replace("T", token) for shape in shapes for token in ("<think>", "word")):
        assert ours.encode_trusted(text) == oracle.encode(text, add_special_tokens=False), text


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"type": "WordPiece"}, "its model is of type WordPiece, and read are BPE and Unigram"),
        ({"type": "BPE"}, "the tokenizers package cannot read it: 'vocab'"),
        ({"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "b"]]}, "cannot read it: "),
        ({"type": "BPE", "vocab": {"a": "x"}, "merges": []}, "cannot read it: "),
        ({"type": "BPE", "vocab": [], "merges": []}, "cannot read it: "),
        ({"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": 7}, "cannot read it: "),
        ([], "cannot read it: "),
    ],
)
def test_a_damaged_file_is_one_sentence(tmp_path: Path, model: Any, message: str) -> None:
    write_trained(tmp_path, byte_style())
    data = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    (tmp_path / "tokenizer.json").write_text(json.dumps(data | {"model": model}), encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as refused:
        Tokenizer.load(tmp_path)
    assert "tokenizer.json" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_unigram_pieces_of_control_tokens_cannot_be_written(tmp_path: Path) -> None:
    pieces = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), *((char, -3.0) for char in "\u2581ab</s>")]
    model = tokenizers.Tokenizer(models.Unigram(pieces, unk_id=0))
    model.pre_tokenizer = pre_tokenizers.Metaspace()
    model.add_special_tokens(["<unk>", "<s>", "</s>"])
    model.save(str(tmp_path / "tokenizer.json"))
    config = {"eos_token": "</s>", "tokenizer_class": "PreTrainedTokenizerFast"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    ours, oracle = Tokenizer.load(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    for text in ("ab ba", "a</s>b"):
        assert ours.encode_trusted(text) == oracle.encode(text, add_special_tokens=False)
    assert ours.encode("ab ba") == oracle.encode("ab ba", add_special_tokens=False)
    assert not {1, 2}.intersection(ours.encode("a</s>b<s>"))
