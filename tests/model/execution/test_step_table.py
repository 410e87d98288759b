"""What goes to the device before a step: each of its numbers, and in one copy."""

import numpy as np
import pytest
import torch

from model.attention.kv_cache import KVCache
from model.config import ModelConfig
from model.execution.step_table import StepTable
from model.machine import to_device as module
from model.machine.to_device import to_device
from model.network.tensor_parallel import TensorParallel
from model.requests.choice_scores import ChoiceScores
from model.requests.readout import Head
from model.scheduling.batch import Batch, Phase, Row

SCORES = ChoiceScores.of([[7, 8, 9], [7, 5]])
ROWS = [
    Row(Phase.DECODE, 0, 5, [3], [0, 1]),
    Row(Phase.PREFILL, 1, 0, [1, 2, 4], [2]),
    Row(
        Phase.PREFILL,
        2,
        4,
        [5, 6],
        [3],
        keeps=False,
        tree=SCORES.tree,
        head=Head.LOGPROBS,
        asked=SCORES.asked,
    ),
]


@pytest.fixture
def cache(checkpoint):
    """As fused kernels read it: what plain ones read goes to the device by itself."""
    config = ModelConfig.from_folder(checkpoint("mixtral"))
    return KVCache(config, 4, 4, TensorParallel(), torch.float32, torch.device("cpu"), fused=True)


def test_a_step_is_told_its_tokens_reads_and_owners(cache):
    table = to_device(StepTable.of(Batch.of(ROWS), cache, 4), cache.device)
    assert table.token_ids.tolist() == [3, 1, 2, 4, 5, 6, 7, 8]
    assert table.positions.tolist()[:6] == [5, 0, 1, 2, 4, 5]
    assert table.reads[Head.VOCABULARY].tolist() == [0, 3]
    assert table.reads[Head.LOGPROBS].tolist() == [5, 6, 7]
    assert table.asked[1].tolist() == SCORES.asked.token_ids.tolist()
    assert table.owners.slots.tolist() == [0, 1, 2]
    assert table.attend.writes.tokens.tolist() == [0, 1, 2, 3]


def test_all_of_it_goes_in_one_copy(cache, monkeypatch):
    copies = []
    copied = module._copied
    monkeypatch.setattr(
        module, "_copied", lambda arrays, _: copies.append(arrays) or copied(arrays, cache.device)
    )
    table = to_device(StepTable.of(Batch.of(ROWS), cache, 4), torch.device("meta"))
    [arrays] = copies
    assert len(arrays) > 20
    assert all(isinstance(array, np.ndarray) for array in arrays)
    assert isinstance(table.attend.spans.trees.blocks.visible, torch.Tensor)


def test_where_nothing_is_counted_or_asked_there_is_nothing_to_send(cache):
    table = StepTable.of(Batch.of(ROWS[:2]), cache, None)
    assert (table.owners, table.asked, list(table.reads)) == (None, None, [Head.VOCABULARY])
