"""What the JSON files of a tokenizer say: its added tokens, BOS and EOS, and the chat template."""

from dataclasses import dataclass
from typing import Any

_FLAGS = ("special", "lstrip", "rstrip", "single_word", "normalized")


@dataclass(frozen=True)
class AddedToken:
    """A token beside the vocabulary's own pieces; a special one adds no text to a completion."""

    id: int
    special: bool
    lstrip: bool = False  # it takes the white space before it with it
    rstrip: bool = False
    single_word: bool = False  # it does not stand within a word
    normalized: bool = False  # it is looked for in the text that the normalizer gives


def added_tokens(
    config: dict[str, Any], special: dict[str, Any], added: dict[str, Any], whole: dict[str, Any]
) -> dict[str, AddedToken]:
    """By text. Of several files tokenizer_config.json says most, then tokenizer.json.

    added_tokens.json does not say which are special: those that have a part to play are.
    """
    named = _named_tokens(config) | _named_tokens(special)
    tokens = {text: AddedToken(int(token_id), text in named) for text, token_id in added.items()}
    decoder = [
        {**entry, "id": token_id} for token_id, entry in config.get("added_tokens_decoder", {}).items()
    ]
    for entry in [*whole.get("added_tokens", []), *decoder]:
        tokens[entry["content"]] = AddedToken(
            int(entry["id"]), *(bool(entry.get(flag, False)) for flag in _FLAGS)
        )
    for text, token in tokens.items():
        if token.id < 0:
            raise ValueError(f"an added token's id must not be negative, got {token.id} for {text!r}")
    return tokens


def _named_tokens(file: dict[str, Any]) -> set[str]:
    """The tokens that a file gives a part: `eos_token` and the like, and `additional_special_tokens`."""
    entries = [value for name, value in file.items() if name.endswith("_token")]
    entries += file.get("additional_special_tokens") or []
    texts = [entry.get("content") if isinstance(entry, dict) else entry for entry in entries]
    return {text for text in texts if isinstance(text, str)}


def token_text(name: str, *files: dict[str, Any]) -> str | None:
    """A token is a string or an object that holds one; the first file that names it counts."""
    for file in files:
        value = file.get(name)
        text = value.get("content") if isinstance(value, dict) else value
        if isinstance(text, str):
            return text
        if text is not None:
            raise TypeError(f"{name} must be a string, got {type(text).__name__}")
    return None


def flag(name: str, config: dict[str, Any], default: bool) -> bool:
    value = config.get(name)
    if value is not None and not isinstance(value, bool):
        raise TypeError(f"{name} must be true or false, got {type(value).__name__}")
    return default if value is None else value


def chat_template(config: dict[str, Any], file: bytes | None) -> tuple[str | None, tuple[str, ...]]:
    """The default template; tokenizer_config.json may hold one or a list of named ones."""
    if file is not None:
        return file.decode("utf-8"), ()
    template = config.get("chat_template")
    if isinstance(template, list):
        named = {entry["name"]: entry["template"] for entry in template}
        template = named.get("default")
        if template is None:
            return None, tuple(sorted(named))
    if template is not None and not isinstance(template, str):
        raise TypeError(f"chat_template must be a string, got {type(template).__name__}")
    return template, ()
