"""Where FlashAttention runs, and how rows that lie side by side are told apart; its results: tests/gpu."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch

from model.attention.flash import Ragged, _what_triton_lacks, wants_flash, what_flash_lacks
from model.engine import Engine

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("attention", "sentence"),
    [
        ("flash", "attention flash needs a GPU, got cpu; choose auto"),
        ("xformers", "must be auto, sdpa or flash, got xformers"),
    ],
)
def test_attention_that_is_not_to_be_had_is_refused(attention, sentence, checkpoint):
    with pytest.raises(ValueError, match=sentence):
        Engine.load(checkpoint("mixtral"), attention=attention)


@pytest.mark.skipif(find_spec("triton") is None, reason="there are no wheels of it for this machine")
def test_what_triton_needs_is_tried_on_the_pages_that_attention_reads():
    assert _what_triton_lacks(torch.device("cpu"), torch.float32, 24) is None


def test_what_keeps_flash_from_running_is_named():
    assert what_flash_lacks(CPU, torch.bfloat16, 64) == "a GPU, got cpu"
    assert not wants_flash("auto", CPU, torch.bfloat16, 64)
    assert not wants_flash("sdpa", CPU, torch.bfloat16, 64)


def test_rows_begin_where_the_ones_before_end():
    ragged = Ragged.of([3, 0, 5])
    assert (ragged.bounds.tolist(), ragged.longest) == ([0, 3, 3, 8], 5)
    assert ragged.bounds.dtype == np.int32
