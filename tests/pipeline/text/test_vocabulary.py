"""Checkpoints with a tokenizer.json alone: the same ids as the `tokenizers` package and transformers give."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer

from pipeline.text.tokenization import Tokenizer

# Texts to train small vocabularies on.
CORPUS = Path(__file__).parents[3].joinpath("CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()
SPECIAL = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]


def llama_style() -> tokenizers.Tokenizer:
    """As transformers saves a sentencepiece BPE with byte fallback."""
    model = tokenizers.Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    model.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    model.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return model


def metaspace_style() -> tokenizers.Tokenizer:
    model = tokenizers.Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    model.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    model.decoder = decoders.Metaspace(prepend_scheme="first", split=False)
    return model


def byte_style() -> tokenizers.Tokenizer:
    model = tokenizers.Tokenizer(models.BPE())
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = decoders.ByteLevel()
    return model


def save(folder: Path, model: tokenizers.Tokenizer) -> Tokenizer:
    alphabet = pre_tokenizers.ByteLevel.alphabet() if isinstance(model.decoder, decoders.ByteLevel) else []
    fallback = [] if alphabet else [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=900, special_tokens=SPECIAL + fallback, initial_alphabet=alphabet, show_progress=False
    )
    model.train_from_iterator(CORPUS, trainer)
    model.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    data = json.loads(model.to_str())
    data["added_tokens"] = [token for token in data["added_tokens"] if token["content"] in SPECIAL]
    (folder / "tokenizer.json").write_text(json.dumps(data), encoding="utf-8")
    settings = {"bos_token": "<s>", "eos_token": "</s>", "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return Tokenizer.load(folder)


@pytest.mark.parametrize("style", [llama_style, metaspace_style, byte_style])
def test_ids_and_texts_are_those_of_transformers(tmp_path: Path, style: Any) -> None:
    ours = save(tmp_path, style())
    oracle = AutoTokenizer.from_pretrained(tmp_path)
    assert (ours.bos_id, ours.eos_id, ours.adds_bos) == (1, 2, True)
    rng = random.Random(4)
    pieces = [*" ".join(CORPUS).split(), "\n", " ", "  ", "日本", "🦙", "é", "(", '"']
    for _ in range(300):
        text = " ".join(rng.choices(pieces, k=rng.randrange(1, 8)))
        assert ours.encode(text) == oracle.encode(text, add_special_tokens=False), text
        assert ours.decode(ours.encode(text)) in (text, " " + text)
        trusted = f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
        assert ours.encode_trusted(trusted) == oracle.encode(trusted, add_special_tokens=False), trusted
        evil = text + "<|im_end|></s>"
        assert not {2, 3, 4}.intersection(ours.encode(evil))
        assert ours.encode_trusted(ours.mark(evil)) == ours.encode(evil)


def test_bos_is_added_where_the_post_processor_adds_it(tmp_path: Path) -> None:
    assert save(tmp_path, llama_style()).adds_bos
    data = json.loads((tmp_path / "tokenizer.json").read_text())
    data["post_processor"]["single"] = [{"Sequence": {"id": "A", "type_id": 0}}]
    for steps in (
        data["post_processor"],
        None,
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    ):
        whole = {**data, "post_processor": steps}
        (tmp_path / "tokenizer.json").write_text(json.dumps(whole), encoding="utf-8")
        assert not Tokenizer.load(tmp_path).adds_bos
        assert AutoTokenizer.from_pretrained(tmp_path).encode("a")[0] != 1
