"""Finds and reads a checkpoint's tokenizer files, which pipeline/text/tokenization.py interprets.

a vocabulary             see `pipeline.text.vocabulary_file`
tokenizer.json           added_tokens and post_processor, even where the vocabulary is read from another file
tokenizer_config.json    added_tokens_decoder, bos_token, eos_token, add_bos_token, add_eos_token,
                         chat_template, legacy                                   (transformers)
special_tokens_map.json  bos_token, eos_token where tokenizer_config.json names none
added_tokens.json        {"<|im_end|>": 32000}                                   (transformers, older)
chat_template.jinja      the chat template on its own                            (transformers, newer)
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from pipeline.errors import ConfigError
from pipeline.text.tokenizer_settings import (
    AddedToken,
    added_tokens,
    chat_template,
    flag,
    token_text,
)
from pipeline.text.tokens_around import TokensAround
from pipeline.text.vocabulary_file import MODEL_FILES, InstructVersion, Kind, VocabularyFile, read_bytes

OTHER_TOKENS = ("unk_token", "pad_token", "sep_token", "cls_token", "mask_token")
SETTINGS_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
)


@dataclass(frozen=True)
class TokenizerFiles:
    model_path: Path  # of the vocabulary
    kind: Kind
    vocabulary: bytes = field(repr=False)  # the content of that file
    unread: str  # vocabularies beside it, for people
    named_version: InstructVersion | None  # what the file's own name says
    added_tokens: dict[str, AddedToken]
    bos_token: str | None
    eos_token: str | None
    other_tokens: dict[str, str]  # unk_token, pad_token, ..., for chat templates that name them
    around: TokensAround | None  # plain prompts, as tokenizer.json says; None: the two flags do
    add_bos: bool
    add_eos: bool
    chat_template: str | None
    template_names: tuple[str, ...]  # of several templates, none of which is called default
    template_file: str  # where the template stands
    has_config: bool  # there is a tokenizer_config.json
    legacy: bool  # text after an added token starts with the dummy space, as text at the start does
    fingerprint: str  # sha256 over the files above

    @classmethod
    def read(cls, folder: Path) -> "TokenizerFiles":
        """Read the tokenizer files in `folder`; a ConfigError says which one is missing or broken."""
        found = VocabularyFile.find(folder)
        contents = {name: read_bytes(folder / name) for name in SETTINGS_FILES if (folder / name).exists()}
        contents[found.path.name] = found.content

        digest = hashlib.sha256()
        for name in sorted(contents):
            digest.update(f"{name} {len(contents[name])}\n".encode() + contents[name])

        def read(name: str) -> dict[str, Any]:
            return _mapping(folder / name, contents.get(name))

        config, special, added = (
            read(name) for name in ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
        )
        whole = read("tokenizer.json")
        jinja = contents.get("chat_template.jinja")
        try:
            template, names = chat_template(config, jinja)
            return cls(
                model_path=found.path,
                kind=found.kind,
                vocabulary=found.content,
                unread=found.unread,
                named_version=MODEL_FILES.get(found.path.name),
                added_tokens=added_tokens(config, special, added, whole),
                bos_token=token_text("bos_token", config, special),
                eos_token=token_text("eos_token", config, special),
                other_tokens={
                    name: text
                    for name in OTHER_TOKENS
                    if (text := token_text(name, config, special)) is not None
                },
                around=TokensAround.of_tokenizer_json(whole),
                add_bos=flag("add_bos_token", config, default=True),
                add_eos=flag("add_eos_token", config, default=False),
                chat_template=template,
                template_names=names,
                template_file="chat_template.jinja" if jinja is not None else "tokenizer_config.json",
                has_config="tokenizer_config.json" in contents,
                legacy=config.get("legacy") is not False,
                fingerprint=digest.hexdigest(),
            )
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            raise ConfigError(
                f"{folder}: the tokenizer's settings cannot be understood: {error!r}"
            ) from error


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
