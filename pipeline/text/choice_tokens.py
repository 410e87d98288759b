"""The token ids by which a model says each label choice."""

from pipeline.errors import ConfigError, RowError
from pipeline.text.tokenization import Tokenizer


def choice_token_ids(tokenizer: Tokenizer, choices: dict[str, str], chat: bool) -> dict[str, list[int]]:
    """Each choice's canonical ids, EOS last, as they follow a prompt.

    Behind `[/INST]` and behind a plain prompt the first piece carries a space; a chat template of the
    checkpoint's own ends in a line break, so there the text goes on without one. ConfigError for a choice
    that no answer could equal, and for two with the same ids.
    """
    encode = tokenizer.encode_continuation if chat and tokenizer.chat_template else tokenizer.encode
    names: dict[tuple[int, ...], str] = {}
    for name, text in choices.items():
        if not text or text != text.strip():
            raise ConfigError(
                f"label.choices: {name!r} must be a text without spaces around it, got {text!r}"
            )
        try:
            ids = (*encode(text), tokenizer.eos_id)
        except RowError as error:
            raise ConfigError(f"label.choices: {name!r}: {error.message}") from error
        if ids in names:
            raise ConfigError(f"label.choices: {names[ids]!r} and {name!r} have the same tokens")
        names[ids] = name
    return {name: list(ids) for ids, name in names.items()}
