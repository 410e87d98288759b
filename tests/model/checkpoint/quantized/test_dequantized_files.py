"""Parts of weights over several files, and what belongs to none."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from model.checkpoint.load import check_checkpoint
from tests.model.checkpoint.quantized import packed_weights
from tests.model.checkpoint.quantized.quantized_upload import require_logits_of_dequantized
from tests.model.checkpoint.quantized.test_awq import ENTRY
from tests.model.checkpoint.refusal import logits_of, refused


@pytest.fixture
def upload(checkpoint, tmp_path):
    return require_logits_of_dequantized(packed_weights.awq, ENTRY, checkpoint("dense"), tmp_path)


def test_parts_in_several_files(upload):
    expected = logits_of(upload)
    tensors = load_file(upload / "model.safetensors")
    (upload / "model.safetensors").unlink()
    for number in (1, 2, 3):
        part = dict([*tensors.items()][number - 1 :: 3])
        save_file(part, upload / f"model-{number:05}-of-00003.safetensors")
    assert torch.equal(logits_of(upload), expected)
    save_file(part, upload / "model-00004-of-00004.safetensors")
    refused(upload, ValueError, "stands in two of the checkpoint's files")


def test_scales_of_what_is_not_rounded_here_are_passed_over(upload):
    tensors = load_file(upload / "model.safetensors")
    tensors["model.layers.0.self_attn.k_scale"] = torch.ones(1)
    save_file(tensors, upload / "model.safetensors")
    assert check_checkpoint(upload).num_layers == 3
    tensors["model.layers.0.self_attn.other"] = torch.ones(1)
    save_file(tensors, upload / "model.safetensors")
    refused(upload, ValueError, "unexpected model.layers.0.self_attn.other")


def test_a_weight_that_is_stored_plain_too(upload):
    tensors = load_file(upload / "model.safetensors")
    tensors["model.layers.0.self_attn.q_proj.weight"] = torch.ones(32, 32)
    save_file(tensors, upload / "model.safetensors")
    refused(upload, ValueError, "q_proj.weight: is no part that a weight in AWQ has")


def test_a_layer_of_another_shape(upload):
    tensors = load_file(upload / "model.safetensors")
    short = {name: part for name, part in tensors.items() if "layers.0.self_attn.q_proj" in name}
    tensors |= {name.replace("q_proj", "k_proj"): part.clone() for name, part in short.items()}
    save_file(tensors, upload / "model.safetensors")
    refused(
        upload, ValueError, r"k_proj.weight: the configuration says shape \(16, 32\), the file \[32, 32\]"
    )
