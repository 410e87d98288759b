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


def require_logits_of_dequantized(quantize, entry, checkpoint, tmp_path):
    """A checkpoint whose layers are quantized gives the logits of transformers with the dequantized weights.

    `quantize(weight)` -> (its parts by their names behind the module's, the weight that they are).
    """
    quantized, plain = (shutil.copytree(checkpoint, tmp_path / name) for name in ("quantized", "plain"))
    stored, numbers = {}, {}
    for name, weight in load_file(checkpoint / "model.safetensors").items():
        if module := _QUANTIZED.fullmatch(name):
            parts, numbers[name] = quantize(weight)
            stored |= {f"{module[1]}.{part}": value.contiguous() for part, value in parts.items()}
        else:
            stored[name] = numbers[name] = weight
    save_file(stored, quantized / "model.safetensors")
    save_file(numbers, plain / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((quantized / "config.json").read_text())
    (quantized / "config.json").write_text(json.dumps(config | {"quantization_config": entry}))
    oracle = AutoModelForCausalLM.from_pretrained(plain)
    with torch.inference_mode():
        expected = oracle(torch.tensor([PROMPT])).logits[0]
    torch.testing.assert_close(logits_of(quantized), expected, atol=1e-4, rtol=0)
    return quantized
