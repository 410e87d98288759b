"""What a step of Mixtral-8x7B takes beside its weights and its cache, in bfloat16 on one GPU.

The engine leaves such steps 15 % of what weights leave of a device. The bounds may only fall.
"""

import pytest
import torch

from benchmarks.random_checkpoint import SIZES
from model.config import ModelConfig
from model.machine.budget import STEP_TOKENS, needed_memory, pass_bytes
from model.requests.choice_scores import ChoiceScores
from model.requests.layer_states import LayerStates
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams
from tests.gpu_without_gpu.step_memory import peak_bytes

pytest.importorskip("triton", reason="there are no wheels of it for this machine")

FEW = SamplingParams(max_new_tokens=8)
MIB = 1 << 20


def test_a_budget_of_prompts() -> None:
    """4,096 tokens, as many as rows that are prefilled together may have: what the budget leaves them."""
    peak = peak_bytes([Request(str(i), [5 + i] * 128, FEW) for i in range(32)])
    assert peak <= 867 * MIB
    needed = pass_bytes(ModelConfig.from_dict(SIZES["8x7b"]), torch.bfloat16, 1, STEP_TOKENS)
    assert peak <= needed <= 1.35 * peak, "the plain kernels take more"


@pytest.mark.parametrize(("tokens", "most"), [(8_000, 1693), (32_000, 2994)])
def test_one_long_prompt(tokens: int, most: int) -> None:
    """Prompts are prefilled whole."""
    assert peak_bytes([Request("long", [5] * tokens, FEW)]) <= most * MIB


def test_labels() -> None:
    """As many rows as run together, with 50 choices of two tokens each."""
    scores = ChoiceScores.of([[11 + i, 300 + i] for i in range(50)])
    assert peak_bytes([Request(str(i), [5 + i] * 30, readout=scores) for i in range(51)]) <= 864 * MIB


def test_many_labels() -> None:
    """1,500 choices of eight tokens and an end, which one row alone takes 12,000 nodes for, in passes."""
    scores = ChoiceScores.of([[11 + i] + [300 + i] * 7 for i in range(1500)], [2, 3])
    assert (scores.computed_tokens, len(scores.parts)) == (12_000, 3)
    found = peak_bytes([Request("row", [5] * 30, readout=scores.parts[0])])
    assert found <= 875 * MIB
    model = ModelConfig.from_dict(SIZES["8x7b"])
    assert found <= pass_bytes(model, torch.bfloat16, 1, 30 + scores.largest_tree) <= 1.35 * found


class StatesOnADevice(LayerStates):
    """Without an answer: a pretended device has no numbers to copy."""

    def make_answer(self, outputs: torch.Tensor) -> str:
        return str(outputs.shape)


def test_hidden_states() -> None:
    """Of a budget of prompts, all layers that there are."""
    requests = [Request(str(i), [5 + i] * 128, readout=StatesOnADevice()) for i in range(32)]
    peaks = [peak_bytes(requests, layers) for layers in ([0], [0, 1, 2])]
    model = ModelConfig.from_dict(SIZES["8x7b"])
    needed = [needed_memory(model, torch.bfloat16, 1, 0, hidden_layers=n).activations for n in (1, 3)]
    assert peaks[0] <= needed[0]
    assert peaks[0] < peaks[1] <= needed[1] <= 1.35 * peaks[1]
    assert needed[1] - needed[0] == 2 * STEP_TOKENS * 4096 * 2, "two layers' states in bfloat16"
