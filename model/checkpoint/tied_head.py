"""Whether the head is the embedding matrix, as config.json says, or another that is stored all the same."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch

from model.config import ModelConfig

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def with_stored_head(config: ModelConfig, files: Iterable[Any]) -> ModelConfig:
    """The config, untied if the opened files hold a head that differs from the embeddings.

    Transformers 5 decides so. A head with the embeddings' values stays tied to them.
    """
    if not config.tie_embeddings:
        return config
    where = {name: file for file in files for name in (EMBEDDING, HEAD) if name in file.keys()}  # noqa: SIM118
    if len(where) < 2:
        return config
    embedding, head = (where[name].get_tensor(name) for name in (EMBEDDING, HEAD))
    same = embedding.dtype == head.dtype and torch.equal(embedding, head)
    return config if same else replace(config, tie_embeddings=False)
