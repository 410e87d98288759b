"""Which head a checkpoint's weights hold, and the names of a base model's weights.

Base models may be stored without the prefix `model.` that all others have: `layers.0...` in place of
`model.layers.0...`.
"""

import re
from collections.abc import Collection
from dataclasses import replace

from model.config import ModelConfig
from model.trained_head import HeadKind

LANGUAGE_HEAD = "lm_head.weight"
_BASE = re.compile(r"(embed_tokens|norm)\.weight|layers\.\d+\..*")


def known_name(name: str) -> str:
    """The name of a stored tensor with the prefix of base models."""
    return f"model.{name}" if _BASE.fullmatch(name) else name


def with_head_of_weights(config: ModelConfig, names: Collection[str]) -> ModelConfig:
    """The config with the head that the weights of these names have, where config.json names none.

    A base model's language head is used if it is stored with it. ValueError if config.json names a language
    model, and the weights hold another head.
    """
    found, trained = _head_of(names), config.trained
    if not trained.stated:
        tied = HeadKind.LANGUAGE if config.tie_embeddings else HeadKind.NONE
        return replace(config, trained=replace(trained, kind=found or tied, stated=True))
    if trained.kind is HeadKind.NONE and found is HeadKind.LANGUAGE:
        return replace(config, trained=replace(trained, kind=found))
    if trained.kind is HeadKind.LANGUAGE and found not in (None, HeadKind.LANGUAGE):
        head = "qa_outputs" if found is HeadKind.SPAN else "score"
        raise ValueError(
            f"{head}.weight: this is the head of {found.in_words}, but architectures in config.json names a "
            "language model: name the class of the weights there, such as MixtralForSequenceClassification"
        )
    return config


def _head_of(names: Collection[str]) -> HeadKind | None:
    """None: the weights hold no head."""
    if "qa_outputs.weight" in names:
        return HeadKind.SPAN
    if "score.weight" in names:
        return HeadKind.TOKEN if "score.bias" in names else HeadKind.SEQUENCE
    return HeadKind.LANGUAGE if LANGUAGE_HEAD in names else None
