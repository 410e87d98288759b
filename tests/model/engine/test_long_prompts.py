"""Prompts of 32,768 tokens, computed in parts: what transformers gives, in bounded memory."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import MistralConfig, MistralForCausalLM

from benchmarks.random_checkpoint import SIZES as RANDOM_SIZES
from model.config import ModelConfig
from model.engine import Engine
from model.sampling.sampling_params import SamplingParams
from model.scheduling.prefill_budget import PrefillBudget
from tests.model.conftest import SIZES

LONG = 32_768
WINDOW = 256
CHOICES = [[5, 6, 7], [5, 8], [9]]


class AliveBytes(TorchDispatchMode):
    """The most bytes that are alive at a time, of tensors that were made under it."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = {x.untyped_storage()._cdata for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        result = func(*args, **(kwargs or {}))
        for x in tree_leaves(result):
            if isinstance(x, Tensor) and x.untyped_storage()._cdata not in before:
                storage = x.untyped_storage()
                self._alive[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self._alive = {key: one for key, one in self._alive.items() if not one[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self._alive.values()))
        return result


@pytest.fixture(scope="module")
def oracle():
    """With a window or without, by layers of one head: transformers' models take seconds, too."""

    def make(window):
        torch.manual_seed(0)
        changes = {"max_position_embeddings": LONG + 64, "sliding_window": window, "num_hidden_layers": 2}
        return MistralForCausalLM(MistralConfig(**SIZES | changes, attn_implementation="sdpa")).eval()

    return make


def prompt_of(tokens):
    return torch.randint(0, 97, (tokens,), generator=torch.Generator().manual_seed(3)).tolist()


def peak_and_answers(engine, tokens):
    with AliveBytes() as alive:
        [generated] = engine.generate([prompt_of(tokens)], SamplingParams(max_new_tokens=4))
        [scored] = engine.score([prompt_of(tokens)], CHOICES)
    return alive.peak, generated.token_ids, scored.answer


@torch.inference_mode()
def logprobs_behind(model, window, prompt, further):
    """[tokens + 1, V] of the prompt's last token and of further ones, from one pass over the tail.

    It stands at its positions; with a window no token further back has an effect.
    """
    begin = 0 if window is None else len(prompt) - model.config.num_hidden_layers * window
    at = torch.arange(begin, len(prompt) + len(further))[None]
    logits = model(torch.tensor([[*prompt[begin:], *further]]), position_ids=at).logits[0]
    return logits[-len(further) - 1 :].log_softmax(-1)


@pytest.mark.slow  # several seconds for each of the long prompts
@pytest.mark.parametrize("window", [WINDOW, None])
def test_a_prompt_of_32k_tokens_takes_the_memory_of_its_parts(window, oracle, tmp_path):
    """A step takes what its part does and, without a window, the keys and values that this reads."""
    model = oracle(window)
    model.save_pretrained(tmp_path)
    cache = 2048 if window else LONG + 64
    engine = Engine.load(tmp_path, "float32", threads=1, max_batch_rows=2, kv_cache_tokens=cache)
    # Parts as long as those of Mixtral-8x7B, whose weights take more time than a narrow model's.
    context = PrefillBudget.of(ModelConfig.from_dict(RANDOM_SIZES["8x7b"]), 1, 1).context
    engine.scheduler.budget = PrefillBudget(1024, 256, context, window)
    peaks = {}
    for tokens in (4096, LONG):
        prompt = prompt_of(tokens)
        peaks[tokens], token_ids, scores = peak_and_answers(engine, tokens)
        behind = logprobs_behind(model, window, prompt, token_ids)
        assert token_ids == behind[:-1].argmax(-1).tolist()
        first, last = CHOICES[0], CHOICES[-1][0]
        behind_choice = logprobs_behind(model, window, prompt, first)
        expected = [behind_choice[range(len(first)), first].sum().item(), behind[0, last].item()]
        assert [scores[0], scores[-1]] == pytest.approx(expected, abs=1e-3)
    engine.close()
    keys_and_values = 2 * LONG * SIZES["num_key_value_heads"] * 8 * 4  # bytes, of a layer
    assert peaks[LONG] <= 1.1 * peaks[4096] + (0 if window else 2 * keys_and_values), peaks
