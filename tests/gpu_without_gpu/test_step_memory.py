"""What a step of Mixtral-8x7B takes beside its weights and its cache, in bfloat16 on one GPU.

The engine leaves such steps 15 % of what weights leave of a device. The bounds may only fall.
"""

import pytest
import torch

from benchmarks.random_checkpoint import SIZES
from model.config import ModelConfig
from model.machine.budget import activation_bytes
from model.requests.choice_scores import ChoiceScores
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams
from tests.gpu_without_gpu.step_memory import peak_bytes

pytest.importorskip("triton", reason="there are no wheels of it for this machine")

FEW = SamplingParams(max_new_tokens=8)
MIB = 1 << 20


def test_a_budget_of_prompts() -> None:
    """4,096 tokens, as many as rows that are prefilled together may have: what the budget leaves them."""
    peak = peak_bytes([Request(str(i), [5] * 128, FEW) for i in range(32)])
    assert peak <= 1123 * MIB
    assert peak <= activation_bytes(ModelConfig.from_dict(SIZES["8x7b"]), torch.bfloat16, 1) <= 1.1 * peak


@pytest.mark.parametrize(("tokens", "most"), [(8_000, 2194), (32_000, 4013)])
def test_one_long_prompt(tokens: int, most: int) -> None:
    """Prompts are prefilled whole."""
    assert peak_bytes([Request("long", [5] * tokens, FEW)]) <= most * MIB


def test_labels() -> None:
    """As many rows as run together, with 50 choices of two tokens each."""
    scores = ChoiceScores.of([[11 + i, 300 + i] for i in range(50)])
    assert peak_bytes([Request(str(i), [5] * 30, readout=scores) for i in range(51)]) <= 1119 * MIB
