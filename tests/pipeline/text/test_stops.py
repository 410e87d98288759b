import json
import shutil
from pathlib import Path

import mistral_common
import pytest

from pipeline.text.stops import split_stops
from pipeline.text.tokenization import Tokenizer

MODEL = Path(mistral_common.__file__).parent / "data" / "tokenizer.model.v1"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("chatml")
    shutil.copy(MODEL, folder / "tokenizer.model")
    decoder = {"32000": {"content": "<|im_end|>", "special": True}, "32001": {"content": "<think>"}}
    (folder / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": decoder}))
    return Tokenizer.load(folder)


def test_a_stop_string_that_is_a_tokens_text_stops_at_the_token_and_at_the_text(tokenizer: Tokenizer) -> None:
    assert split_stops(tokenizer, ["<|im_end|>", "\n", "</s>"]) == (["<|im_end|>", "\n", "</s>"], [32000, 2])


def test_a_token_with_a_text_of_its_own_may_stand_beside_other_text(tokenizer: Tokenizer) -> None:
    assert split_stops(tokenizer, ["a<think>"]) == (["a<think>"], [])


@pytest.mark.parametrize("stop", ["\n<|im_end|>", "<|im_end|>\n", "User</s>"])
def test_a_string_that_no_answer_can_hold_is_refused(tokenizer: Tokenizer, stop: str) -> None:
    with pytest.raises(ValueError, match="adds no text to an answer"):
        split_stops(tokenizer, [stop])
