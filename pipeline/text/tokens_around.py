"""The tokens that stand around a plain text, and around two: BOS, the end of the sequence, or others.

Where there is a tokenizer.json its `post_processor` says which, as in transformers 5, which then passes over
`add_bos_token` and `add_eos_token` of tokenizer_config.json. Without a post_processor nothing is added.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers

from pipeline.errors import ConfigError

_TEXT = "x"
_ONE_PIECE = {"type": "WordLevel", "vocab": {_TEXT: 0}, "unk_token": _TEXT}


@dataclass(frozen=True)
class TokensAround:
    """Ids before and behind a text, and before and between two texts that make one prompt."""

    before: tuple[int, ...]
    behind: tuple[int, ...]
    before_pair: tuple[int, ...]
    between: tuple[int, ...]

    @classmethod
    def of_ends(cls, bos: int | None, eos: int | None) -> "TokensAround":
        """Each text of a pair has its own."""
        before, behind = (() if end is None else (end,) for end in (bos, eos))
        return cls(before, behind, before, (*behind, *before))

    @classmethod
    def of_tokenizer_json(cls, whole: dict[str, Any]) -> "TokensAround | None":
        """What the file's post_processor does, tried on texts of one token; None: the file is no tokenizer.

        ValueError if it cannot be read, or does not keep every text once and in order.
        """
        if "model" not in whole:
            return None
        processor = whole.get("post_processor")
        parts: dict[str, Any] = {"version": "1.0", "added_tokens": [], "model": _ONE_PIECE}
        parts["post_processor"] = processor
        try:
            _check_templates(processor)
            tokenizer = tokenizers.Tokenizer.from_str(json.dumps(parts))
            one, two = tokenizer.encode(_TEXT), tokenizer.encode(_TEXT, _TEXT)
        except Exception as error:  # the package raises plain Exceptions
            raise ValueError(f"the post_processor of tokenizer.json cannot be read: {error}") from error
        before, behind = _apart(one, 1)
        before_pair, between, _ = _apart(two, 2)
        return cls(before, behind, before_pair, between)

    def require_ids_below(self, vocab_size: int, folder: Path) -> None:
        """ConfigError for a token that the vocabulary lacks."""
        top = max([*self.before, *self.behind, *self.before_pair, *self.between], default=0)
        if top >= vocab_size:
            raise ConfigError(
                f"{folder}: the post_processor of tokenizer.json adds token {top}, and its ids end at "
                f"{vocab_size - 1}"
            )


def _check_templates(processor: Any) -> None:
    """KeyError for a token that a template names and nobody defines: the package would panic over it."""
    steps = [processor] if processor else []
    for step in steps:  # grows on the way
        steps += step.get("processors", [])
        if step["type"] == "TemplateProcessing":
            for piece in [*step["single"], *step["pair"]]:
                if "SpecialToken" in piece:
                    step["special_tokens"][piece["SpecialToken"]["id"]]


def _apart(encoding: tokenizers.Encoding, texts: int) -> list[tuple[int, ...]]:
    """The ids before, between and behind the texts."""
    found: list[list[int]] = [[]]
    order = []
    for token_id, text in zip(encoding.ids, encoding.sequence_ids, strict=True):
        if text is None:
            found[-1].append(token_id)
        else:
            order.append(text)
            found.append([])
    if order != [*range(texts)]:
        raise ValueError(
            "the post_processor of tokenizer.json must keep every text once and in order, for "
            f"{texts} it gives {len(order)}: {order}"
        )
    return [tuple(ids) for ids in found]
