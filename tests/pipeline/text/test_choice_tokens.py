import json
import shutil
from pathlib import Path

import mistral_common
import pytest

from pipeline.errors import ConfigError
from pipeline.text.choice_tokens import choice_token_ids
from pipeline.text.tokenization import Tokenizer

MODEL = Path(mistral_common.__file__).parent / "data" / "tokenizer.model.v1"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("v1")
    shutil.copy(MODEL, folder / "tokenizer.model.v1")
    return Tokenizer.load(folder)


def test_a_choice_begins_with_its_space_and_ends_with_eos(tokenizer: Tokenizer) -> None:
    ids = choice_token_ids(tokenizer, {"good": "positive", "bad": "very negative"}, chat=True)
    assert ids == {"good": [5278, 2], "bad": [*tokenizer.encode("very negative"), 2]}
    assert list(ids) == ["good", "bad"]
    assert choice_token_ids(tokenizer, {"good": "positive"}, chat=False) == {"good": [5278, 2]}


def test_behind_the_line_break_of_a_template_there_is_no_space(tmp_path: Path) -> None:
    shutil.copy(MODEL, tmp_path / "tokenizer.model")
    config = {"chat_template": "{{ messages }}"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    tokenizer = Tokenizer.load(tmp_path)
    behind = tokenizer.encode("assistant\npositive")[len(tokenizer.encode("assistant\n")) :]
    assert choice_token_ids(tokenizer, {"good": "positive"}, chat=True) == {"good": [*behind, 2]}
    assert choice_token_ids(tokenizer, {"good": "positive"}, chat=False) == {"good": [5278, 2]}


@pytest.mark.parametrize("text", ["", " ", " positive", "positive\n", "\ud800"])
def test_texts_that_no_answer_equals(tokenizer: Tokenizer, text: str) -> None:
    with pytest.raises(ConfigError, match=r"label\.choices: 'bad'"):
        choice_token_ids(tokenizer, {"good": "positive", "bad": text}, chat=True)


def test_choices_with_the_same_tokens(tokenizer: Tokenizer) -> None:
    # U+2581 is how sentencepiece writes a space
    with pytest.raises(ConfigError, match="'one' and 'two' have the same tokens"):
        choice_token_ids(tokenizer, {"one": "a b", "two": "a\u2581b"}, chat=True)
