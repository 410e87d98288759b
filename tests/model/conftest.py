"""Tiny random checkpoints, made once a session, and transformers' own models on them as the oracle."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor
from transformers import MistralConfig, MistralForCausalLM, MixtralConfig, MixtralForCausalLM
from transformers.utils import logging

from model.engine import Engine

SIZES: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 96,
    "rms_norm_eps": 1e-5,
    "sliding_window": None,
    # Large enough that the likeliest token leads clearly and generations don't fall into a loop.
    "initializer_range": 0.3,
    "rope_parameters": {"rope_theta": 1e4, "rope_type": "default"},
    "bos_token_id": 1,
    "eos_token_id": None,
    "pad_token_id": None,
    "tie_word_embeddings": False,
}
EXPERTS: dict[str, Any] = {"num_local_experts": 8, "num_experts_per_tok": 2}
# What each variant changes. "dense" stands for Mistral.
VARIANTS: dict[str, dict[str, Any]] = {
    "mixtral": EXPERTS,
    "four-experts": EXPERTS | {"num_local_experts": 4},
    "one-choice": EXPERTS | {"num_experts_per_tok": 1},
    "three-choices": EXPERTS | {"num_experts_per_tok": 3},
    "wide-heads": EXPERTS | {"head_dim": 24},
    "one-kv-head": EXPERTS | {"num_key_value_heads": 1},
    "tied": EXPERTS | {"tie_word_embeddings": True},
    "tied-one-kv-head": EXPERTS | {"tie_word_embeddings": True, "num_key_value_heads": 1},
    "several-eos": EXPERTS | {"eos_token_id": [*range(4, 97, 9)]},
    "window": EXPERTS | {"sliding_window": 6},
    "dense": {},
    "dense-window": {"sliding_window": 5},
    # For rows of many windows, of some pages each
    "rolling": EXPERTS | {"sliding_window": 16, "max_position_embeddings": 512},
    "dense-rolling": {"sliding_window": 20, "max_position_embeddings": 512},
    "window-of-one": EXPERTS | {"sliding_window": 1},
    "window-beyond": {"sliding_window": 200},  # more than a row may have
}
# Heads: the end of transformers' class names, and what the configuration says of labels.
HEADS: dict[str, tuple[str, dict[str, Any]]] = {
    "classes": ("ForSequenceClassification", {"num_labels": 5}),
    "reward": ("ForSequenceClassification", {"num_labels": 1}),
    "tokens": ("ForTokenClassification", {"num_labels": 7}),
    "spans": ("ForQuestionAnswering", {}),
    "base": ("Model", {}),
}
PROMPT_LENGTHS = (1, 2, 3, 5, 9, 14, 17, 33)


class Oracle:
    """transformers' model of a variant; rows go through it one at a time, without padding."""

    def __init__(self, variant: str) -> None:
        changes = SIZES | VARIANTS[variant]
        torch.manual_seed(0)
        if "num_local_experts" in changes:
            self.model = MixtralForCausalLM(MixtralConfig(**changes)).eval()
        else:
            self.model = MistralForCausalLM(MistralConfig(**changes)).eval()
        self.generate = cache(self._generate)

    @torch.inference_mode()
    def logits(self, token_ids: list[int]) -> Tensor:  # [T, V]
        return self.model(torch.tensor([token_ids])).logits[0]

    @torch.inference_mode()
    def router_logits(self, token_ids: list[int]) -> Tensor:  # [L, T, E]
        return torch.stack(self.model(torch.tensor([token_ids]), output_router_logits=True).router_logits)

    @torch.inference_mode()
    def _generate(self, prompt: tuple[int, ...], max_new_tokens: int) -> list[int]:
        row = torch.tensor([prompt])
        output = self.model.generate(
            row, attention_mask=torch.ones_like(row), max_new_tokens=max_new_tokens, do_sample=False
        )
        return output[0, len(prompt) :].tolist()


class HeadOracle:
    """transformers' model of a variant with one of HEADS, and the folder that it wrote."""

    def __init__(self, variant: str, head: str, folder: Path) -> None:
        changes = SIZES | VARIANTS[variant]
        kind = "Mixtral" if "num_local_experts" in changes else "Mistral"
        suffix, labels = HEADS[head]
        config = (MixtralConfig if kind == "Mixtral" else MistralConfig)(**changes, **labels)
        torch.manual_seed(0)
        self.model = getattr(transformers, kind + suffix)(config).eval()
        if suffix != "Model":  # transformers begins with biases of 0, which no trained head has
            getattr(self.model, "qa_outputs" if head == "spans" else "score").reset_parameters()
        self.folder = folder
        self.model.save_pretrained(folder)

    @torch.inference_mode()
    def outputs(self, token_ids: list[int]) -> Tensor:
        """Of one row: logits of a whole prompt [C] or of every token [T, C]; hidden states [T, D]."""
        given = self.model(torch.tensor([token_ids]))
        if hasattr(given, "start_logits"):
            return torch.stack([given.start_logits[0], given.end_logits[0]], -1)
        return given.logits[0] if hasattr(given, "logits") else given.last_hidden_state[0]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny models lose time to threads; several test runs may share a machine."""
    torch.set_num_threads(1)
    logging.disable_progress_bar()


@pytest.fixture(scope="session")
def oracle() -> Callable[[str], Oracle]:
    return cache(Oracle)


@pytest.fixture(scope="session")
def checkpoint(
    oracle: Callable[[str], Oracle], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """A variant's name -> the folder that transformers wrote for it."""

    @cache
    def write(variant: str) -> Path:
        folder = tmp_path_factory.mktemp(variant)
        oracle(variant).model.save_pretrained(folder)
        return folder

    return write


@pytest.fixture(scope="session")
def headed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], HeadOracle]:
    """A variant and a head -> transformers' model and its folder."""

    @cache
    def make(variant: str, head: str) -> HeadOracle:
        return HeadOracle(variant, head, tmp_path_factory.mktemp(f"{variant}-{head}"))

    return make


@pytest.fixture(scope="session")
def engine(checkpoint: Callable[[str], Path]) -> Iterator[Callable[..., Engine]]:
    """A variant's name and options -> its engine; engines keep nothing between runs, so tests share them."""

    @cache
    def load(variant: str, **options: Any) -> Engine:
        loaded = Engine.load(checkpoint(variant), threads=1, **options)
        loaded_engines.append(loaded)
        return loaded

    loaded_engines: list[Engine] = []
    yield load
    for loaded in loaded_engines:
        loaded.close()


@pytest.fixture(scope="session")
def prompts() -> list[list[int]]:
    """From a single token to longer than every window, in no order."""
    generator = torch.Generator().manual_seed(1)
    lengths = [PROMPT_LENGTHS[i] for i in torch.randperm(len(PROMPT_LENGTHS), generator=generator)]
    return [torch.randint(0, SIZES["vocab_size"], (n,), generator=generator).tolist() for n in lengths]
