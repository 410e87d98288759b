"""A quantized upload with the sizes of Mixtral-8x7B: headers are real, and the numbers are holes in the file.

So a check, which reads headers, sees what it would see of the real one.
"""

import json
import re
from math import prod

import torch

from benchmarks.random_checkpoint import SIZES
from model.checkpoint.load import uninitialised
from model.checkpoint.weight_map import weight_sources
from model.config import ModelConfig

_LAYERS = re.compile(r"(.+\.(?:self_attn|experts\.\d+)\.\w+)\.weight")
_BYTES = {"I32": 4, "F16": 2, "BF16": 2, "F32": 4, "U8": 1, "I8": 1}
_STATE = "weight.quant_state.bitsandbytes__nf4"


def awq(outputs, inputs, group=128):
    return {
        "qweight": ("I32", [inputs, outputs // 8]),
        "qzeros": ("I32", [inputs // group, outputs // 8]),
        "scales": ("F16", [inputs // group, outputs]),
    }


def nf4(outputs, inputs):
    blocks = outputs * inputs // 64
    return {
        "weight": ("U8", [outputs * inputs // 2, 1]),
        "weight.absmax": ("F32", [blocks]),
        "weight.quant_map": ("F32", [16]),
        _STATE: ("U8", [len(_state(outputs, inputs))], _state(outputs, inputs)),
    }


def int8(outputs, inputs):
    return {"weight": ("I8", [outputs, inputs]), "SCB": ("F32", [outputs])}


ENTRIES = {
    "awq": (awq, {"quant_method": "awq", "w_bit": 4, "q_group_size": 128}),
    "nf4": (nf4, {"quant_method": "bitsandbytes", "load_in_4bit": True}),
    "int8": (int8, {"quant_method": "bitsandbytes", "load_in_8bit": True}),
}


def write_large(folder, name):
    """One of ENTRIES; the file takes a few hundred KiB of the disk."""
    parts_of, entry = ENTRIES[name]
    config = SIZES["8x7b"] | {"max_position_embeddings": 32768, "quantization_config": entry}
    (folder / "config.json").write_text(json.dumps(config))
    model = uninitialised(ModelConfig.from_dict(config), torch.float32, "meta")
    header, contents, end = {}, {}, 0
    for source in weight_sources(model):
        module = _LAYERS.fullmatch(source.name)
        parts = {"": ("BF16", [*source.shape])}
        if module:
            parts = parts_of(*source.shape)
        for part, (dtype, shape, *content) in parts.items():
            stored = f"{module[1]}.{part}" if module else source.name
            size = prod(shape) * _BYTES[dtype]
            header[stored] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
            if content:
                contents[end] = content[0]
            end += size
    written = json.dumps(header).encode()
    with open(folder / "model.safetensors", "wb") as file:
        file.write(len(written).to_bytes(8, "little") + written)
        begin = file.tell()
        for place, content in contents.items():
            file.seek(begin + place)
            file.write(content)
        file.truncate(begin + end)
    return folder


def _state(outputs, inputs):
    return json.dumps({"shape": [outputs, inputs], "blocksize": 64}).encode()
