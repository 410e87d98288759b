"""Small checkpoints of each kind of tokenizer, for what must hold with all of them."""

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import mistral_common
import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers

DATA = Path(mistral_common.__file__).parent / "data"
# Texts to train small vocabularies on.
CORPUS = Path(__file__).parents[3].joinpath("CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()
CORPUS += ["日本語の文 日本", "naïve café 🦙 🦙", "</s></s> [INST] [INST] <|im_end|> <|im_end|>"]
SPECIAL = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "<|im_start|>", "<|im_end|>"]
TEKKEN_PIECES = 4000


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


def nemo_style() -> tokenizers.Tokenizer:
    """Tekken's words, and pieces that are looked up before any merge."""
    model = tokenizers.Tokenizer(models.BPE(ignore_merges=True))
    words = Regex(json.loads((DATA / "tekken_240911.json").read_bytes())["config"]["pattern"])
    model.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    model.decoder = decoders.ByteLevel()
    return model


def write_trained(folder: Path, model: tokenizers.Tokenizer, **settings: Any) -> None:
    """tokenizer.json of a vocabulary of about a thousand pieces, with the special tokens among them."""
    alphabet = pre_tokenizers.ByteLevel.alphabet() if isinstance(model.decoder, decoders.ByteLevel) else []
    fallback = [] if alphabet else [f"<0x{byte:02X}>" for byte in range(256)]
    trainer: Any = trainers.BpeTrainer(
        vocab_size=1100, special_tokens=SPECIAL + fallback, initial_alphabet=alphabet, show_progress=False
    )
    if isinstance(model.model, models.Unigram):
        trainer = trainers.UnigramTrainer(
            vocab_size=900, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
        )
    model.train_from_iterator(CORPUS, trainer)
    model.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    data = json.loads(model.to_str())
    data["added_tokens"] = [token for token in data["added_tokens"] if token["content"] in SPECIAL]
    (folder / "tokenizer.json").write_text(json.dumps(data), encoding="utf-8")
    config = {"bos_token": "<s>", "eos_token": "</s>", "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config | settings), encoding="utf-8")


def add_tokens(folder: Path, *tokens: AddedToken) -> None:
    """Write further added tokens into the folder's tokenizer.json."""
    model = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    model.add_tokens([*tokens])
    model.save(str(folder / "tokenizer.json"))


@cache
def _first_pieces(count: int) -> str:
    data = json.loads((DATA / "tekken_240718.json").read_bytes())
    return json.dumps(data | {"vocab": data["vocab"][:count]})


def tekken(version: str = "v3", pieces: int = TEKKEN_PIECES) -> dict[str, Any]:
    """The first pieces of Mistral's own vocabulary, with 100 special tokens."""
    data: dict[str, Any] = json.loads(_first_pieces(pieces))
    sizes = {"default_vocab_size": pieces + 100, "default_num_special_tokens": 100, "version": version}
    return data | {"config": data["config"] | sizes}


def write_tekken(folder: Path, version: str = "v3") -> None:
    (folder / "tekken.json").write_text(json.dumps(tekken(version)), encoding="utf-8")


def _sentencepiece(name: str) -> Callable[[Path], None]:
    return lambda folder: str(shutil.copy(DATA / name, folder / "tokenizer.model")) and None


KINDS: dict[str, Callable[[Path], None]] = {
    "sentencepiece v1": _sentencepiece("tokenizer.model.v1"),
    "sentencepiece v3": _sentencepiece("mistral_instruct_tokenizer_240323.model.v3"),
    "tokenizers, llama": lambda folder: write_trained(folder, llama_style()),
    "tokenizers, metaspace": lambda folder: write_trained(folder, metaspace_style()),
    "tokenizers, bytes": lambda folder: write_trained(folder, byte_style()),
    "tokenizers, nemo": lambda folder: write_trained(folder, nemo_style()),
    "tekken": write_tekken,
}
