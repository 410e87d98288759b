"""Quantized uploads that lie about how they are quantized, or whose parts don't fit each other."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tests.hostile.bad_checkpoints import config
from tests.hostile.case import Case, write_model

Q = "model.layers.0.self_attn.q_proj"
AWQ = {"quant_method": "awq", "bits": 4, "version": "gemm"}
GPTQ = {"quant_method": "gptq", "bits": 4}
FOUR_BITS = {"quant_method": "bitsandbytes", "load_in_4bit": True}
FP8 = {"quant_method": "fp8", "activation_scheme": "static"}
PACKED = {"quant_method": "compressed-tensors", "format": "pack-quantized"}
BLOCKS = {"num_bits": 8, "block_structure": [0, 1]}
INTEGERS, HALVES = torch.zeros(128, 16, dtype=torch.int32), torch.ones(2, 128).half()


def upload(message: str, entry: dict[str, Any], **parts: torch.Tensor) -> Case:
    """The tiny checkpoint, whose first queries have these parts in place of a weight."""

    def make(folder: Path) -> None:
        model = write_model(folder)
        tensors = load_file(model / "model.safetensors")
        del tensors[f"{Q}.weight"]
        tensors |= {f"{Q}.{name.replace('__', '.', 1)}": part.clone() for name, part in parts.items()}
        save_file(tensors, model / "model.safetensors")
        data = json.loads((model / "config.json").read_text()) | {"quantization_config": entry}
        (model / "config.json").write_text(json.dumps(data))

    return Case(make, refused=message)


def state(content: bytes) -> torch.Tensor:
    return torch.tensor([*content], dtype=torch.uint8)


def four_bits(message: str, content: bytes) -> Case:
    """bitsandbytes' parts with what these bytes say of them."""
    parts = {
        "weight": torch.zeros(8192, 1, dtype=torch.uint8),
        "weight__absmax": torch.ones(256),
        "weight__quant_map": torch.zeros(16),
        "weight__quant_state.bitsandbytes__nf4": state(content),
    }
    return upload(message, FOUR_BITS, **parts)


QUANTIZED = {
    "AWQ of 3 bits": config("bits of AWQ must be 4, got 3", quantization_config=AWQ | {"bits": 3}),
    "GPTQ of a billion bits": config("must be 4 or 8", quantization_config=GPTQ | {"bits": 1 << 30}),
    "GPTQ for another program's kernel": config(
        "checkpoint_format of GPTQ must be", quantization_config=GPTQ | {"checkpoint_format": "marlin"}
    ),
    "compressed-tensors with gaps": config(
        "weights with gaps", quantization_config=PACKED | {"sparsity_config": {"format": "sparse-24-bitmask"}}
    ),
    "fp8 in blocks of nothing": config(
        "weight_block_size must be", quantization_config=FP8 | {"weight_block_size": [0, 128]}
    ),
    "quantized by its words alone": config("but none of them is", quantization_config=AWQ),
    "AWQ without zeros": upload("qzeros is missing", AWQ, qweight=INTEGERS, scales=HALVES),
    "AWQ with zeros of another layer": upload(
        "ask for shape", AWQ, qweight=INTEGERS, scales=HALVES, qzeros=INTEGERS[:2, :3]
    ),
    "AWQ whose scales are whole numbers": upload(
        "must be stored as F16", AWQ, qweight=INTEGERS, scales=INTEGERS, qzeros=INTEGERS[:2]
    ),
    "GPTQ with a group that is not there": upload(
        "names a group that is not there",
        GPTQ,
        qweight=INTEGERS.T.contiguous(),
        scales=HALVES,
        qzeros=INTEGERS[:2],
        g_idx=torch.full((128,), 1 << 30, dtype=torch.int32),
    ),
    "bitsandbytes that says nothing": four_bits("not valid JSON", b"\xff"),
    "bitsandbytes nested beyond reading": four_bits("not valid JSON", b'{"a":' * 10_000),
    "bitsandbytes of blocks of nothing": four_bits(
        "blocksize must be a positive", b'{"shape": [128, 128], "blocksize": 0}'
    ),
    "bitsandbytes of infinite offset": four_bits(
        "nested_offset must be a number", b'{"shape": [128, 128], "blocksize": 64, "nested_offset": Infinity}'
    ),
    "bitsandbytes of a huge weight": four_bits(
        "ask for shape", b'{"shape": [2147483647, 2147483647], "blocksize": 64}'
    ),
    "compressed-tensors of negative shape": upload(
        "of 4 or 8 bits are not",
        PACKED,
        weight_packed=INTEGERS,
        weight_scale=torch.ones(128, 2),
        weight_shape=torch.tensor([128, -128]),
    ),
    "fp8 that is not fp8": upload(
        "must be stored as F8_E4M3", FP8, weight=torch.ones(128, 128), weight_scale=torch.ones(1)
    ),
    "fp8 whose scales are no blocks": upload(
        r"weight_scale_inv: shape \[7\] does not fit",
        FP8 | {"weight_block_size": [64, 64]},
        weight=torch.ones(128, 128).to(torch.float8_e4m3fn),
        weight_scale_inv=torch.ones(7),
    ),
    "GPTQ of two versions": config(
        "checkpoint_format and format contradict",
        quantization_config=GPTQ | {"checkpoint_format": "gptq", "format": "gptq_v2"},
    ),
    "compressed-tensors of 7 bits": config(
        "num_bits of pack-quantized must be 4 or 8, got 7",
        quantization_config=PACKED | {"config_groups": {"a": {"weights": {"num_bits": 7}}}},
    ),
    "compressed-tensors of blocks of nothing": config(
        "block_structure must be a positive",
        quantization_config=PACKED | {"config_groups": {"a": {"weights": BLOCKS}}},
    ),
    "GPTQ whose groups are others than it says": upload(
        "its scales are of groups of 64 inputs, quantization_config says 128",
        GPTQ | {"group_size": 128},
        qweight=INTEGERS.T.contiguous(),
        scales=HALVES,
        qzeros=INTEGERS[:2],
    ),
}  # fmt: skip
