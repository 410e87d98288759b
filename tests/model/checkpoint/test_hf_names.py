"""Names, shapes and types of stored tensors must be those that the configuration describes."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.model.checkpoint.refusal import PROMPT, logits_of, refused


def test_derived_or_doubled_tensors_are_passed_over(checkpoint, oracle, tmp_path):
    folder = shutil.copytree(checkpoint("tied"), tmp_path / "checkpoint")
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.zeros(4)
    save_file(tensors, folder / "model.safetensors")
    torch.testing.assert_close(logits_of(folder), oracle("tied").logits(PROMPT), atol=1e-4, rtol=0)


def test_missing_and_unexpected_names_are_listed(folder, spoil):
    def change(tensors):
        del tensors["model.layers.1.block_sparse_moe.experts.3.w2.weight"]
        del tensors["model.norm.weight"]
        for layer in range(7):
            tensors[f"model.layers.{3 + layer}.extra"] = torch.zeros(1)

    spoil(change)
    message = (
        r"missing model\.layers\.1\.block_sparse_moe\.experts\.3\.w2\.weight, model\.norm\.weight; "
        r"unexpected model\.layers\.3\.extra, .*model\.layers\.7\.extra and 2 more$"
    )
    refused(folder, ValueError, message)


def test_a_head_that_no_tied_embedding_explains_is_unexpected(checkpoint, tmp_path):
    """The other way round: without tie_word_embeddings the head must be in the file."""
    folder = shutil.copytree(checkpoint("tied"), tmp_path / "checkpoint")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
    refused(folder, ValueError, r"missing lm_head\.weight$")


@pytest.mark.parametrize(
    "name",
    ["model.embed_tokens.weight", "model.layers.2.block_sparse_moe.experts.7.w1.weight", "model.norm.weight"],
)
def test_wrong_shapes_are_named(name, folder, spoil):
    spoil(lambda tensors: tensors.update({name: tensors[name][:-1].clone()}))
    refused(folder, ValueError, rf"^{name}: the configuration says shape \(.*\), the file \[")


def test_a_transposed_weight_is_refused(folder, spoil):
    name = "model.layers.0.block_sparse_moe.experts.0.w2.weight"
    spoil(lambda tensors: tensors.update({name: tensors[name].T.contiguous()}))
    refused(folder, ValueError, r"shape \(32, 48\), the file \[48, 32\]")


def test_numbers_that_are_no_weights_are_refused(folder, spoil):
    name = "model.layers.0.self_attn.q_proj.weight"
    spoil(lambda tensors: tensors.update({name: tensors[name].to(torch.int8)}))
    refused(folder, ValueError, rf"^{name}: must be stored as F32, BF16, F16, got I8")
