"""Which of several vocabularies is read, and what is said of the others."""

import json
import shutil
from pathlib import Path

import pytest
from sentencepiece import SentencePieceProcessor
from transformers import AutoTokenizer

from pipeline.errors import ConfigError
from pipeline.text import vocabulary_file
from pipeline.text.tokenization import Tokenizer
from pipeline.text.vocabulary_file import VocabularyFile
from tests.pipeline.text.tokenizer_kinds import DATA, nemo_style, write_tekken, write_trained


def put_model(folder: Path, name: str = "tokenizer.model") -> None:
    shutil.copy(DATA / "tokenizer.model.v1", folder / name)


def write_converted(folder: Path) -> None:
    """The pieces of the sentencepiece model in a tokenizer.json, with an added token more."""
    model = SentencePieceProcessor(model_file=str(DATA / "tokenizer.model.v1"))
    vocabulary = {model.id_to_piece(number): number for number in range(model.vocab_size())}
    added = [{"id": 32000, "content": "<|im_end|>", "special": True}]
    whole = {"added_tokens": added, "model": {"type": "BPE", "vocab": vocabulary | {"<|im_end|>": 32000}}}
    (folder / "tokenizer.json").write_text(json.dumps(whole), encoding="utf-8")


def test_in_order(tmp_path: Path) -> None:
    def found() -> tuple[str, str, str]:
        file = VocabularyFile.find(tmp_path)
        return file.path.name, file.kind, file.unread

    write_tekken(tmp_path)
    assert found() == ("tekken.json", "tekken", "")
    write_converted(tmp_path)
    assert found() == ("tokenizer.json", "tokenizers", "tekken.json")
    put_model(tmp_path)
    assert found() == ("tokenizer.model", "sentencepiece", "tokenizer.json, tekken.json")
    put_model(tmp_path, "tokenizer.model.v1")
    assert found() == ("tokenizer.model.v1", "sentencepiece", "tokenizer.model, tokenizer.json, tekken.json")


def test_a_tokenizer_json_of_other_pieces_is_read_as_transformers_reads_it(tmp_path: Path) -> None:
    write_trained(tmp_path, nemo_style())
    put_model(tmp_path)
    file = VocabularyFile.find(tmp_path)
    assert (file.path.name, file.unread) == ("tokenizer.json", "tokenizer.model, which has other pieces")
    oracle = AutoTokenizer.from_pretrained(tmp_path)
    assert Tokenizer.load(tmp_path).encode("Which queue?") == oracle.encode(
        "Which queue?", add_special_tokens=False
    )


def test_a_tokenizer_json_without_a_vocabulary_says_nothing_against_the_model(tmp_path: Path) -> None:
    put_model(tmp_path)
    for text in (
        "{}",
        "[]",
        '{"model": {}}',
        '{"model": {"vocab": [3]}}',
        '{"model": {"vocab": [["a"]]}}',
        "{",
    ):
        (tmp_path / "tokenizer.json").write_text(text, encoding="utf-8")
        assert VocabularyFile.find(tmp_path).kind == "sentencepiece"


def test_none_and_too_large_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"tokenizer.model.v7, .* or tekken.json\), found none"):
        VocabularyFile.find(tmp_path)
    write_tekken(tmp_path)
    monkeypatch.setattr(vocabulary_file, "MAX_BYTES", 1000)
    with pytest.raises(ConfigError, match=r"tekken\.json: is larger than 0 MiB"):
        VocabularyFile.find(tmp_path)
