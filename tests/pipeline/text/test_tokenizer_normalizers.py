"""A tokenizer.json with Unigram, NFKC, Strip or lower case: the ids of transformers."""

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer

from pipeline.errors import ConfigError
from pipeline.text.choice_tokens import ChoiceTokens
from pipeline.text.prompt_format import PlainFormat
from pipeline.text.tokenization import Tokenizer
from tests.pipeline.text.tokenizer_kinds import CORPUS, SPECIAL, byte_style, llama_style, write_trained

PARTS = [
    *" ".join(CORPUS).split()[:200],
    " ",
    "  ",
    "\n",
    "ﬁ",
    "①",
    "\uff21",
    "e\u0301",
    "\u3000",
    "🦙",
    "Ba",
    "</s>",
]
TEXTS = st.lists(st.sampled_from(PARTS), max_size=8).map("".join)
UNMARKED = TEXTS.filter(lambda text: not any(token in text for token in SPECIAL))
Pair = tuple[Tokenizer, Any]


def unigram(scheme: str, *steps: normalizers.Normalizer) -> tokenizers.Tokenizer:
    """As transformers converts a sentencepiece model of that kind."""
    model = tokenizers.Tokenizer(models.Unigram())
    model.normalizer = normalizers.Sequence([*steps])
    model.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    model.decoder = decoders.Metaspace(prepend_scheme=scheme)
    return model


def normalized(model: tokenizers.Tokenizer, *steps: normalizers.Normalizer) -> tokenizers.Tokenizer:
    """With these steps before its own."""
    own = [model.normalizer] if model.normalizer else []
    model.normalizer = normalizers.Sequence([*steps, *own])
    return model


NFKC, STRIP = normalizers.NFKC(), normalizers.Strip()
SPACES = normalizers.Replace(Regex(" {2,}"), " ")
STYLES = {
    "unigram, always a space": lambda: unigram("always", NFKC, SPACES),
    "unigram, a space at first": lambda: unigram("first", NFKC),
    "unigram, stripped": lambda: unigram("never", STRIP, NFKC),
    "llama, NFKC": lambda: normalized(llama_style(), NFKC),
    "llama, stripped": lambda: normalized(llama_style(), STRIP),
    "llama, lower case": lambda: normalized(llama_style(), normalizers.Lowercase()),
    "bytes, NFKC, stripped": lambda: normalized(byte_style(), NFKC, STRIP),
}


@pytest.fixture(scope="module", params=STYLES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Ours and transformers'."""
    folder = tmp_path_factory.mktemp("style")
    write_trained(folder, STYLES[request.param](), unk_token="<unk>")
    return Tokenizer.load(folder), AutoTokenizer.from_pretrained(folder)


@settings(max_examples=30, deadline=None)
@example(text="  ﬁ ①  a ")
@given(text=UNMARKED)
def test_ids_are_those_of_transformers(pair: Pair, text: str) -> None:
    ours, oracle = pair
    assert ours.encode(text) == oracle.encode(text, add_special_tokens=False)


@settings(max_examples=30, deadline=None)
@example(parts=["<s>", " ﬁ ", "</s>", "  b", "<|im_end|>", " "])
@given(parts=st.lists(st.one_of(UNMARKED, st.sampled_from(SPECIAL[1:])), max_size=6))
def test_trusted_text_too(pair: Pair, parts: list[str]) -> None:
    ours, oracle = pair
    text = "".join(parts)
    assert ours.encode_trusted(text) == oracle.encode(text, add_special_tokens=False)


@settings(max_examples=30, deadline=None)
@given(text=TEXTS)
def test_no_row_writes_a_control_token(pair: Pair, text: str) -> None:
    ours = pair[0]
    assert not ours.never_text.intersection([*ours.encode(text), *ours.encode_trusted(ours.mark(text))])


@pytest.mark.parametrize("prompt", ["Which queue?", "Which queue: ", "(", " a", "ﬁles"])
def test_a_choice_behind_a_word_keeps_its_space(pair: Pair, prompt: str) -> None:
    """A normalizer that strips takes white space away where a text begins, and a choice begins none."""
    ours, oracle = pair
    form = PlainFormat(ours, frozenset())
    ids = [*ours.around.before, *ours.encode(prompt)]
    kept, choices = ChoiceTokens(form, {"one": "billing", "other": "zzz"}).behind(ids)
    whole = prompt + form.answer_frame(prompt).before + "billing"
    assert [*kept, *choices.token_ids[0]] == oracle.encode(whole)


def test_a_strip_before_a_space_at_first_is_refused(tmp_path: Path) -> None:
    write_trained(tmp_path, unigram("first", STRIP))
    with pytest.raises(ConfigError, match=r"tokenizer\.json: its normalizer takes white space away .*Strip"):
        Tokenizer.load(tmp_path)


def test_a_unigram_model_without_an_unknown_piece_is_refused(tmp_path: Path) -> None:
    """A row with a character that it lacks could not be written."""
    write_trained(tmp_path, unigram("always"))
    data = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    data["model"]["unk_id"] = None
    (tmp_path / "tokenizer.json").write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"the tokenizers package cannot read it: .*unk"):
        Tokenizer.load(tmp_path)
