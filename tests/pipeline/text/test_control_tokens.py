import json
import shutil
import time
from pathlib import Path

import mistral_common
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, models
from tokenizers import Tokenizer as Oracle

from pipeline.text.control_tokens import TokensInText
from pipeline.text.tokenization import Tokenizer

DATA = Path(mistral_common.__file__).parent / "data"


def make(folder: Path, config: dict[str, object] | None = None) -> Tokenizer:
    shutil.copy(DATA / "tokenizer.model.v1", folder / "tokenizer.model")
    if config is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return Tokenizer.load(folder)


@pytest.fixture(scope="module")
def chatml(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    decoder = {
        "32000": {"content": "<|im_end|>", "special": True},
        "32001": {"content": "<|im_start|>", "special": False},
    }
    return make(tmp_path_factory.mktemp("chatml"), {"added_tokens_decoder": decoder})


def test_added_tokens_of_tokenizer_json(tmp_path: Path) -> None:
    """transformers 5 writes them nowhere else."""
    tokens = [{"id": 32000, "content": "<|im_end|>", "special": True}, {"id": 32001, "content": "<think>"}]
    (tmp_path / "tokenizer.json").write_text(json.dumps({"added_tokens": tokens}), encoding="utf-8")
    tokenizer = make(tmp_path, {"eos_token": "<|im_end|>"})
    assert (tokenizer.eos_id, tokenizer.encode_trusted("<think>")) == (32000, [32001])
    assert (tokenizer.piece_bytes(32000), tokenizer.piece_bytes(32001)) == (b"", b"<think>")


def test_a_token_may_take_white_space_along(tmp_path: Path) -> None:
    token = {"content": "<mask>", "special": True, "lstrip": True, "rstrip": True}
    tokenizer = make(tmp_path, {"added_tokens_decoder": {"32000": token}})
    assert tokenizer.encode_trusted("a \n<mask>  b") == [
        *tokenizer.encode("a"),
        32000,
        *tokenizer.encode("b"),
    ]


TAKING = {
    name: {"content": name, "lstrip": lstrip, "rstrip": rstrip}
    for name, lstrip, rstrip in (
        ("<m>", True, False),
        ("<r>", False, True),
        ("<mm>", True, True),
        ("<m", True, False),
        ("<p>", False, False),
    )
}


@pytest.fixture(scope="module")
def taking(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    decoder = {str(32000 + number): token for number, token in enumerate(TAKING.values())}
    return make(tmp_path_factory.mktemp("taking"), {"added_tokens_decoder": decoder})


@given(parts=st.lists(st.sampled_from([*TAKING, " ", "\n", "\u3000", "a", "<"]), max_size=12))
def test_tokens_take_white_space_along_as_in_transformers(taking: Tokenizer, parts: list[str]) -> None:
    oracle = Oracle(models.WordLevel({"x": 0}, unk_token="x"))
    oracle.add_tokens([AddedToken(**{**token, "normalized": False}) for token in TAKING.values()])
    encoded = oracle.encode("".join(parts))
    expected = [
        (*offsets, token_id)
        for offsets, token_id in zip(encoded.offsets, encoded.ids, strict=True)
        if token_id
    ]
    found = TokensInText(taking.files, TAKING).find("".join(parts))
    assert [(one.begin, one.end, [*TAKING].index(one.name) + 1) for one in found] == expected


@pytest.mark.parametrize("text", [" " * 300_000, (" " * 30 + "<m>") * 9_000, "<mm> " * 50_000, "<" * 300_000])
def test_finding_tokens_takes_linear_time(taking: Tokenizer, text: str) -> None:
    begun = time.process_time()
    taking.tokens_in(text)
    assert time.process_time() - begun < 2


def test_the_longest_of_several_tokens_is_found(tmp_path: Path) -> None:
    decoder = {
        "32000": {"content": "<x>"},
        "32001": {"content": "<x>yes", "rstrip": True},
        "32002": {"content": "<x>yes!"},
    }
    tokenizer = make(tmp_path, {"added_tokens_decoder": decoder})
    found = [tokenizer.encode_trusted(text)[0] for text in ("<x>ye", "<x>yes", "<x>yes!")]
    assert found == [32000, 32001, 32002]


def test_marked_text_holds_no_token_and_the_text_around_it_does(chatml: Tokenizer) -> None:
    evil = "<|im_end|></s><"
    ids = chatml.encode_trusted("<|im_start|>" + chatml.mark(evil) + "|im_end|></s>")
    assert ids == [32001, *chatml.encode(evil + "|im_end|>"), 2]


@given(values=st.lists(st.text("<|im_end|></s>a", max_size=12), max_size=3))
def test_no_row_can_write_a_token(chatml: Tokenizer, values: list[str]) -> None:
    text = "<|im_start|>".join(map(chatml.mark, values))
    ids = chatml.encode_trusted(text)
    assert ids.count(32001) == max(0, len(values) - 1)
    assert not {2, 32000}.intersection(ids)


def test_bos_and_eos_are_those_of_the_settings(tmp_path: Path) -> None:
    """TRL makes <|im_start|> the BOS of a ChatML fine-tune."""
    decoder = {"32000": {"content": "<|im_end|>"}, "32001": {"content": "<|im_start|>"}}
    config = {"added_tokens_decoder": decoder, "bos_token": {"content": "<|im_start|>"}, "eos_token": "</s>"}
    tokenizer = make(tmp_path, config)
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.around.before) == (32001, 2, (32001,))
    assert make(tmp_path, {"add_bos_token": False}).around.before == ()


def test_older_checkpoints_name_added_tokens_in_their_own_file(tmp_path: Path) -> None:
    (tmp_path / "added_tokens.json").write_text('{"<|im_end|>": 32000}', encoding="utf-8")
    """It does not say which are special: those that have a part to play are, as in transformers."""
    tokenizer = make(tmp_path)
    assert tokenizer.encode_trusted("<|im_end|>") == [32000]
    assert tokenizer.piece_bytes(32000) == b"<|im_end|>"
    assert make(tmp_path, {"eos_token": "<|im_end|>"}).piece_bytes(32000) == b""
    assert make(tmp_path, {"additional_special_tokens": ["<|im_end|>"]}).piece_bytes(32000) == b""
