"""Finds and reads a checkpoint's tokenizer files, which pipeline/text/tokenization.py interprets.

tokenizer.model[.v1|.v2|.v3], sentencepiece.bpe.model    the sentencepiece model
tokenizer_config.json    added_tokens_decoder, eos_token, chat_template, legacy  (transformers)
added_tokens.json        {"<|im_end|>": 32000}                                   (transformers, older)
chat_template.jinja      the chat template on its own                            (transformers, newer)
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from pipeline.errors import ConfigError

InstructVersion = Literal["v1", "v2", "v3"]

MAX_BYTES = 100 << 20  # of one file

# In order of preference: a version in a file's name says more. Mixtral-8x22B-Instruct holds both kinds.
MODEL_FILES: dict[str, InstructVersion | None] = {
    "tokenizer.model.v3": "v3",
    "tokenizer.model.v2": "v2",
    "tokenizer.model.v1": "v1",
    "tokenizer.model": None,
    "sentencepiece.bpe.model": None,
}
SETTINGS_FILES = ("tokenizer_config.json", "added_tokens.json", "chat_template.jinja")


@dataclass(frozen=True)
class AddedToken:
    """A token that sentencepiece does not know; a special one adds no text to a completion."""

    id: int
    special: bool


@dataclass(frozen=True)
class TokenizerFiles:
    model_path: Path
    model: bytes = field(repr=False)
    named_version: InstructVersion | None  # what the file's own name says
    added_tokens: dict[str, AddedToken]
    eos_token: str | None
    chat_template: str | None
    has_config: bool  # there is a tokenizer_config.json
    legacy: bool  # text after an added token starts with the dummy space, as text at the start does
    fingerprint: str  # sha256 over the files above

    @classmethod
    def read(cls, folder: Path) -> "TokenizerFiles":
        """Read the tokenizer files in `folder`; a ConfigError says which one is missing or broken."""
        model_path = _find_model(folder)
        contents = {model_path.name: _read_bytes(model_path)}
        contents |= {name: _read_bytes(folder / name) for name in SETTINGS_FILES if (folder / name).exists()}

        digest = hashlib.sha256()
        for name in sorted(contents):
            digest.update(f"{name} {len(contents[name])}\n".encode() + contents[name])

        config = _mapping(folder / "tokenizer_config.json", contents.get("tokenizer_config.json"))
        added = _mapping(folder / "added_tokens.json", contents.get("added_tokens.json"))
        try:
            added_tokens = _added_tokens(config, added)
            template = _chat_template(config, contents.get("chat_template.jinja"))
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            raise ConfigError(
                f"{folder}: the tokenizer's settings cannot be understood: {error!r}"
            ) from error
        return cls(
            model_path=model_path,
            model=contents[model_path.name],
            named_version=MODEL_FILES[model_path.name],
            added_tokens=added_tokens,
            eos_token=_token_text(config.get("eos_token")),
            chat_template=template,
            has_config="tokenizer_config.json" in contents,
            legacy=config.get("legacy") is not False,
            fingerprint=digest.hexdigest(),
        )


def _find_model(folder: Path) -> Path:
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such checkpoint folder")
    for name in MODEL_FILES:
        if (folder / name).is_file():
            return folder / name
    others = [name for name in ("tekken.json", "tokenizer.json") if (folder / name).is_file()]
    found = f"only {' and '.join(others)}, which is not supported" if others else "none"
    raise ConfigError(
        f"{folder}: a checkpoint needs its sentencepiece tokenizer ({', '.join(MODEL_FILES)}), found {found}"
    )


def _read_bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path}: is larger than {MAX_BYTES >> 20} MiB, which no tokenizer's file is")
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error


def _mapping(path: Path, content: bytes | None) -> dict[str, Any]:
    if content is None:
        return {}
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: must be a JSON object, this is {type(value).__name__}")
    return cast("dict[str, Any]", value)


def _added_tokens(config: dict[str, Any], added: dict[str, Any]) -> dict[str, AddedToken]:
    tokens = {text: AddedToken(int(token_id), special=True) for text, token_id in added.items()}
    for token_id, entry in config.get("added_tokens_decoder", {}).items():
        tokens[entry["content"]] = AddedToken(int(token_id), special=bool(entry.get("special", False)))
    for text, token in tokens.items():
        if token.id < 0:
            raise ValueError(f"an added token's id must not be negative, got {token.id} for {text!r}")
    return tokens


def _token_text(value: Any) -> str | None:
    """A token in tokenizer_config.json is a string or an object that holds one."""
    text = value.get("content") if isinstance(value, dict) else value
    return text if isinstance(text, str) else None


def _chat_template(config: dict[str, Any], file: bytes | None) -> str | None:
    """The default template; tokenizer_config.json may hold one or a list of named ones."""
    if file is not None:
        return file.decode("utf-8")
    template = config.get("chat_template")
    if isinstance(template, list):
        template = {entry["name"]: entry["template"] for entry in template}.get("default")
    if template is not None and not isinstance(template, str):
        raise TypeError(f"chat_template must be a string, got {type(template).__name__}")
    return template
