"""What an engine makes of given prompts, none of it chosen by the engine: so two engines see the same tokens.

n tokens of a prompt, L layers, K experts chosen per token.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.engine import Engine
from model.requests.request import Request
from model.requests.text_scores import TextScores
from model.scheduling.batch import left_pad
from model.trained_head import HeadKind
from pipeline.errors import ConfigError

Prompts = Sequence[list[int]]


def prompt_logprobs(engine: Engine, prompts: Prompts) -> list[float] | None:
    """Of every token of all prompts but their first ones, each behind those that stand before it.

    None without a head for tokens, or if no prompt has a second token. ConfigError if the model gives none.
    """
    if engine.config.trained.kind is not HeadKind.LANGUAGE:
        return None
    longer = [prompt for prompt in prompts if len(prompt) > 1]
    requests = [Request(str(i), [*p], readout=TextScores(p[1:])) for i, p in enumerate(longer)]
    completions = engine.run(requests)
    for completion in completions:
        if completion.failure is not None:
            raise ConfigError(f"a prompt has no log-probabilities: {completion.failure}")
    return [logprob for completion in completions for logprob in completion.answer] or None


def perplexity(logprobs: Sequence[float]) -> float:
    return math.exp(-math.fsum(logprobs) / len(logprobs))


@torch.inference_mode()
def chosen_experts(engine: Engine, prompts: Prompts) -> list[NDArray[Any]] | None:
    """Of each prompt's tokens [n, L, K], a token's first choice first; None without routers.

    Each prompt is computed by itself, whole, without the engine's cache.
    """
    if not engine.config.num_experts:
        return None
    return [_chosen(engine, prompt) for prompt in prompts]


def _chosen(engine: Engine, prompt: list[int]) -> NDArray[Any]:
    layers: list[Tensor] = []

    def observe(layer: int, router_logits: Tensor, chosen: Tensor, weights: Tensor) -> None:
        layers.append(chosen)

    executor = engine.ranks.local
    executor.model(*left_pad([prompt], executor.device), observe)
    return torch.stack(layers, dim=1).to(torch.int16).cpu().numpy()


def share_that_differs(one: Sequence[NDArray[Any]], other: Sequence[NDArray[Any]]) -> float:
    """Of all choices [n, L, K]: an expert in the place of another, or in another place."""
    differ = [int(np.count_nonzero(a != b)) for a, b in zip(one, other, strict=True)]
    return sum(differ) / sum(a.size for a in one)
