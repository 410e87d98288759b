"""A checkpoint's logits, and what is said of one that is refused."""

import pytest
import torch

from model.checkpoint.load import check_checkpoint, load_transformer
from model.scheduling.batch import left_pad

PROMPT = [5, 17, 80, 3, 96, 0, 41]


def logits_of(folder):
    return load_transformer(folder, torch.float32)(*left_pad([PROMPT]))[0]


def refused(folder, kind, message):
    """Loading and checking the headers alone must say the same."""
    with pytest.raises(kind, match=message):
        load_transformer(folder, torch.float32)
    with pytest.raises(kind, match=message):
        check_checkpoint(folder)
