"""Which head is used where config.json says that it is the embeddings: as transformers decides."""

import logging
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from model.checkpoint.load import check_checkpoint
from tests.model.checkpoint.refusal import PROMPT, logits_of, refused

HEAD = "lm_head.weight"


@pytest.fixture
def with_head(checkpoint, tmp_path):
    """A tied checkpoint in which another head is stored, made of its embeddings."""

    def make(head):
        folder = shutil.copytree(checkpoint("tied"), tmp_path / "tied")
        tensors = load_file(folder / "model.safetensors")
        tensors[HEAD] = head(tensors["model.embed_tokens.weight"])
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    return make


@pytest.mark.parametrize(
    ("head", "tied", "other"),
    [
        (torch.clone, True, False),
        (lambda weight: weight.flip(0), False, True),
        (torch.Tensor.half, False, False),
    ],
    ids=["the same", "another", "half precision"],
)
def test_a_stored_head_is_used_as_transformers_uses_it(head, tied, other, with_head, oracle, caplog):
    folder = with_head(head)
    config = check_checkpoint(folder)
    assert config.tie_embeddings == tied
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [str(folder) in text and "lm_head.weight with other values" in text for text in warned] == (
        [] if tied else [True]
    )
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)(torch.tensor([PROMPT]))
    torch.testing.assert_close(logits_of(folder), theirs.logits[0].detach(), atol=1e-4, rtol=0)
    far = (logits_of(folder) - oracle("tied").logits(PROMPT)).abs().max()
    assert (far > 1) == other


def test_a_stored_head_of_another_shape_is_named(with_head):
    refused(
        with_head(lambda weight: weight[:-1].clone()), ValueError, rf"^{HEAD}: the configuration says shape"
    )
