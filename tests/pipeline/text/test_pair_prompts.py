"""A question and its context become the ids that transformers gives for a pair."""

import pickle
from pathlib import Path

import mistral_common
import pytest

from pipeline.config.input import InputSection
from pipeline.errors import RowError
from pipeline.text.pair_prompts import PairPrompts
from pipeline.text.prompt_format import PlainFormat
from pipeline.text.tokenization import Tokenizer

TOKENIZER = Tokenizer.load(Path(mistral_common.__file__).parent / "data")
SECTION = InputSection(path=["x"])
PROMPTS = PairPrompts(SECTION, PlainFormat(TOKENIZER, frozenset()), 1 << 20, "q", "c")


def test_both_texts_stand_behind_a_bos_of_their_own() -> None:
    prompt = PROMPTS.build({"q": "Who?", "c": "Anna did."})
    assert prompt.token_ids == [1, *TOKENIZER.encode("Who?"), 1, *TOKENIZER.encode("Anna did.")]
    assert prompt.text == "Who?\nAnna did."
    assert PROMPTS.columns == {"q", "c"}
    assert pickle.loads(pickle.dumps(PROMPTS)).build({"q": "Who?", "c": "Anna did."}) == prompt


def test_control_tokens_in_a_row_are_its_text() -> None:
    assert PROMPTS.build({"q": "</s>", "c": "<s>"}).token_ids.count(1) == 2


@pytest.mark.parametrize(
    ("record", "code"),
    [
        ({"q": "Who?"}, "MISSING_COLUMN: this row has no column c"),
        ({"q": None, "c": "x"}, "NULL_PROMPT"),
        ({"q": "Who?", "c": 7}, "WRONG_TYPE"),
        ({"q": " ", "c": "x"}, "EMPTY_PROMPT: column q is empty"),
        ({"q": "Who?", "c": ""}, "EMPTY_PROMPT: column c is empty"),
    ],
)
def test_rows_without_one_of_them(record: dict[str, object], code: str) -> None:
    with pytest.raises(RowError, match=code):
        PROMPTS.build(record)
