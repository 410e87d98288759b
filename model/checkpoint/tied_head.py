"""Whether the head is the embedding matrix, as config.json says, or another that is stored all the same."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch

from model.checkpoint.head_weights import LANGUAGE_HEAD as HEAD
from model.checkpoint.head_weights import known_name
from model.config import ModelConfig

EMBEDDING = "model.embed_tokens.weight"


def with_stored_head(config: ModelConfig, files: Iterable[Any]) -> ModelConfig:
    """The config, untied if the opened files hold a head that differs from the embeddings.

    Transformers 5 decides so. A head with the embeddings' values stays tied to them.
    """
    if not config.tie_embeddings:
        return config
    where = {known_name(name): (file, name) for file in files for name in file.keys()}  # noqa: SIM118
    if not {EMBEDDING, HEAD} <= where.keys():
        return config
    embedding, head = (file.get_tensor(name) for file, name in (where[EMBEDDING], where[HEAD]))
    same = embedding.dtype == head.dtype and torch.equal(embedding, head)
    return config if same else replace(config, tie_embeddings=False)
