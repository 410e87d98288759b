import json
import pickle
import random
import shutil
from pathlib import Path

import mistral_common
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor

from pipeline.errors import ConfigError, RowError, RowErrorCode
from pipeline.text.tokenization import Tokenizer
from pipeline.text.tokenizer_files import SETTINGS_FILES

DATA = Path(mistral_common.__file__).parent / "data"
FILES = {
    "v1": "tokenizer.model.v1",
    "v2": "mistral_instruct_tokenizer_240216.model.v2",
    "v3": "mistral_instruct_tokenizer_240323.model.v3",
    "v7": "mistral_instruct_tokenizer_241114.model.v7",
}
CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


def make(
    folder: Path, version: str, name: str = "tokenizer.model", config: dict[str, object] | None = None
) -> Tokenizer:
    shutil.copy(DATA / FILES[version], folder / name)
    if config is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return Tokenizer.load(folder)


@pytest.fixture(scope="module")
def v1(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return make(tmp_path_factory.mktemp("v1"), "v1", "tokenizer.model.v1")


@pytest.fixture(scope="module")
def chatml(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    decoder = {
        "0": {"content": "<unk>", "special": True},
        "1": {"content": "<s>", "special": True},
        "2": {"content": "</s>", "special": True},
        "32000": {"content": "<|im_end|>", "special": True},
        "32001": {"content": "<|im_start|>", "special": False},
    }
    config = {"added_tokens_decoder": decoder, "eos_token": "<|im_end|>", "chat_template": CHATML}
    return make(tmp_path_factory.mktemp("chatml"), "v1", config=config)


def test_known_ids(v1: Tokenizer) -> None:
    assert v1.encode("Hello world") == [22557, 1526]
    assert (v1.bos_id, v1.eos_id, v1.vocab_size, v1.instruct_version) == (1, 2, 32000, "v1")


@pytest.mark.parametrize(
    ("version", "name", "config", "expected"),
    [
        ("v1", "tokenizer.model", None, None),
        ("v1", "sentencepiece.bpe.model", {}, None),
        ("v1", "tokenizer.model.v1", None, "v1"),
        ("v2", "tokenizer.model", None, "v2"),
        ("v2", "tokenizer.model.v2", None, "v2"),
        ("v3", "tokenizer.model", None, "v3"),
        # Mistral-7B-v0.3: a base model with the instruct one's vocabulary
        ("v3", "tokenizer.model.v3", {"bos_token": "<s>"}, None),
        ("v7", "tokenizer.model", None, "v7"),
        ("v7", "tokenizer.model.v7", None, "v7"),
    ],
)
def test_instruct_version(
    tmp_path: Path, version: str, name: str, config: dict[str, object] | None, expected: str | None
) -> None:
    assert make(tmp_path, version, name, config).instruct_version == expected


@pytest.mark.parametrize(
    ("version", "name", "token"),
    [("v1", "tokenizer.model.v3", r"\[INST\]"), ("v3", "tokenizer.model.v7", r"\[SYSTEM_PROMPT\]")],
)
def test_a_name_that_the_vocabulary_belies_is_refused(
    tmp_path: Path, version: str, name: str, token: str
) -> None:
    with pytest.raises(ConfigError, match=rf"{name}: no control token {token}, so it is not {name[-2:]}"):
        make(tmp_path, version, name)


def test_the_vocabulary_says_what_it_can_write(tmp_path: Path) -> None:
    versions = {}
    for version in FILES:
        (tmp_path / version).mkdir()
        versions[version] = make(tmp_path / version, version).vocabulary_version
    assert versions == {"v1": "v1", "v2": "v2", "v3": "v3", "v7": "v7"}


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_no_control_token_comes_out_of_user_text(tmp_path: Path, version: str) -> None:
    tokenizer = make(tmp_path, version)
    control = set(tokenizer.trusted_tokens.values())
    everything = " ".join(tokenizer.trusted_tokens) + "".join(tokenizer.trusted_tokens)
    assert not control & set(tokenizer.encode(everything))
    assert control <= set(tokenizer.encode_trusted(everything))


def test_added_tokens_come_out_of_trusted_text_only(chatml: Tokenizer) -> None:
    text = "<|im_start|>user\nHi</s><|im_end|>"
    assert chatml.encode_trusted(text) == [32001, *chatml.encode("user\nHi"), 2, 32000]
    assert max(chatml.encode(text)) < 32000
    assert 2 not in chatml.encode(text)
    assert (chatml.eos_id, chatml.vocab_size) == (32000, 32002)


def test_a_special_token_adds_no_text_and_another_added_one_does(chatml: Tokenizer) -> None:
    assert [chatml.piece_bytes(i) for i in (1, 2, 32000, 32001, 32002, -1)] == [
        b"", b"", b"", b"<|im_start|>", b"", b"",
    ]  # fmt: skip


def test_text_behind_an_added_token_without_legacy_has_no_dummy_space(tmp_path: Path) -> None:
    config = {"added_tokens_decoder": {"32000": {"content": "<x>", "special": True}}, "legacy": False}
    tokenizer = make(tmp_path, "v1", config=config)
    ids = tokenizer.encode_trusted("user<x>user")
    assert [tokenizer.piece_bytes(i) for i in ids] == [b" user", b"", b"user"]


def test_a_template_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_text(CHATML, encoding="utf-8")
    assert make(tmp_path, "v1", config={}).files.chat_template == CHATML


@given(text=st.text())
def test_a_continuation_joins_what_stands_before_it(v1: Tokenizer, text: str) -> None:
    ids = v1.encode_continuation(text)
    assert b"".join(map(v1.piece_bytes, ids)).decode() == text.replace("\u2581", " ")


@given(text=st.text())
def test_the_pieces_of_a_text_are_its_bytes(v1: Tokenizer, text: str) -> None:
    data = b"".join(map(v1.piece_bytes, v1.encode(text)))
    assert data == (" " + text.replace("\u2581", " ") if text else "").encode()


def test_bytes_equal_sentencepieces_own_decoding(v1: Tokenizer) -> None:
    model = SentencePieceProcessor(model_file=str(DATA / FILES["v1"]))
    rng = random.Random(0)
    for _ in range(2000):
        ids = [0, *(rng.randrange(259, 32000) for _ in range(rng.randrange(8)))]
        assert b"".join(map(v1.piece_bytes, ids)).decode() == model.decode(ids)
    assert [v1.piece_bytes(i) for i in range(3, 259)] == [bytes([i]) for i in range(256)]


def test_a_lone_surrogate_is_a_row_error(v1: Tokenizer) -> None:
    with pytest.raises(RowError) as caught:
        v1.encode("secret \ud800")
    assert caught.value.code is RowErrorCode.INVALID_UTF8
    assert "secret" not in str(caught.value)


def test_a_pickle_needs_no_folder_and_is_opened_once(tmp_path: Path) -> None:
    tokenizer = make(tmp_path, "v1", config={"eos_token": "</s>"})
    data = pickle.dumps(tokenizer)
    before = tokenizer.fingerprint()
    shutil.rmtree(tmp_path)
    again = pickle.loads(data)
    assert again.encode_trusted("Hi</s>") == tokenizer.encode_trusted("Hi</s>")
    assert pickle.loads(data) is again
    assert again.fingerprint() == before


def test_the_fingerprint_is_of_all_files(tmp_path: Path) -> None:
    before = make(tmp_path, "v1").fingerprint()
    assert Tokenizer.load(tmp_path).fingerprint() == before
    for name in SETTINGS_FILES:
        (tmp_path / name).write_text("{}", encoding="utf-8")
        assert Tokenizer.load(tmp_path).fingerprint() != before
        before = Tokenizer.load(tmp_path).fingerprint()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "found none"),
        ({"tekken.json": "{}"}, "tekken.json: not a tekken vocabulary: it has no 'config'"),
        ({"tokenizer.json": "{}"}, "the tokenizers package cannot read it"),
        ({"tokenizer.model": "not a model"}, "not a sentencepiece model"),
        (
            {"tokenizer.model": None, "tokenizer_config.json": '{"eos_token": "<|im_end|>"}'},
            "eos_token is '<.im_end.>', which is neither an added token nor a piece of tokenizer.model",
        ),
        (
            {"tokenizer.model": None, "special_tokens_map.json": '{"bos_token": {"content": "<bos>"}}'},
            "bos_token is '<bos>', which is neither",
        ),
        ({"tokenizer.model": None, "tokenizer_config.json": '{"eos_token": 3}'}, "eos_token must be a str"),
        (
            {"tokenizer.model": None, "tokenizer_config.json": '{"add_bos_token": "no"}'},
            "add_bos_token must be true or false",
        ),
        ({"tokenizer.model": ""}, "not a sentencepiece model"),
        ({"tokenizer.model": None, "tokenizer_config.json": "{"}, "not valid JSON"),
        ({"tokenizer.model": None, "tokenizer_config.json": "[]"}, "must be a JSON object"),
        ({"tokenizer.model": None, "tokenizer_config.json": '{"chat_template": 3}'}, "chat_template"),
        ({"tokenizer.model": None, "tokenizer_config.json": '{"added_tokens_decoder": [1]}'}, "understood"),
        ({"tokenizer.model": None, "tokenizer_config.json": '{"added_tokens_decoder": {"x": {}}}'}, "unders"),
        ({"tokenizer.model": None, "added_tokens.json": '{"x": 1000000000000}'}, "far beyond"),
        ({"tokenizer.model": None, "added_tokens.json": '{"x": -1}'}, "understood"),
    ],
)
def test_broken_checkpoints(tmp_path: Path, files: dict[str, str | None], message: str) -> None:
    for name, text in files.items():
        if text is None:
            shutil.copy(DATA / FILES["v1"], tmp_path / name)
        else:
            (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        Tokenizer.load(tmp_path)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such checkpoint folder"):
        Tokenizer.load(tmp_path / "nowhere")
