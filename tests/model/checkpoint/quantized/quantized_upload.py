"""One quantized weight, or a whole checkpoint of them, written and read back."""

import json
import re
import shutil

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from model.checkpoint.quantized.dequantized_files import dequantized_files
from model.checkpoint.quantized.stated import stated_quantization
from model.checkpoint.safetensors_files import open_weights
from tests.model.checkpoint.refusal import PROMPT, logits_of

Q = "model.layers.0.self_attn.q_proj"
_QUANTIZED = re.compile(r"(model\.layers\.\d+\.(?:self_attn|mlp|block_sparse_moe\.experts)\..+)\.weight")


def write_quantized(tensors, entry, folder):
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")
    stated = stated_quantization(folder, ["model.safetensors"], {"quantization_config": entry})
    return dequantized_files([open_weights(folder / "model.safetensors")], stated)


def only_weight(tensors, entry, folder):
    """The only weight among the tensors, as a StoredTensor; `entry` is config.json's quantization_config."""
    *plain, quantized = write_quantized(tensors, entry, folder)
    assert [file.keys() for file in plain] == [[]]
    (name,) = quantized.keys()
    assert name == f"{Q}.weight"
    return quantized.get_slice(name)


def write_upload(quantize, entry, checkpoint, folder, which=_QUANTIZED):
    """A copy of a checkpoint whose layers (those of names like `which`) are quantized; its numbers.

    `quantize(weight)` -> (its parts by their names behind the module's, the weight that they are).
    """
    shutil.copytree(checkpoint, folder)
    stored, numbers = {}, {}
    for name, weight in load_file(checkpoint / "model.safetensors").items():
        if module := which.fullmatch(name):
            parts, numbers[name] = quantize(weight)
            stored |= {f"{module[1]}.{part}": value.contiguous() for part, value in parts.items()}
        else:
            stored[name] = numbers[name] = weight
    save_file(stored, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": entry}))
    return folder, numbers


def write_plain(numbers, checkpoint, folder):
    """A copy of a checkpoint with these tensors."""
    shutil.copytree(checkpoint, folder)
    save_file(numbers, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def require_logits_of_dequantized(quantize, entry, checkpoint, tmp_path):
    """A checkpoint whose layers are quantized gives the logits of transformers with the dequantized weights.

    `quantize`: see `write_upload`.
    """
    quantized, numbers = write_upload(quantize, entry, checkpoint, tmp_path / "quantized")
    oracle = AutoModelForCausalLM.from_pretrained(write_plain(numbers, checkpoint, tmp_path / "plain"))
    with torch.inference_mode():
        expected = oracle(torch.tensor([PROMPT])).logits[0]
    torch.testing.assert_close(logits_of(quantized), expected, atol=1e-4, rtol=0)
    return quantized
