"""Weights quantized as they are written: nf4 as bitsandbytes has it, int4 and int8 as compressed-tensors.

O output and I input features, n = O I, G groups of inputs. Quantized are the projections of attention, of
experts and of dense layers; routers, embeddings, norms and heads are not.
"""

import json
import math
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from model.checkpoint.quantized.packed_bits import packed_bits
from model.checkpoint.write_safetensors import Planned
from model.config import ModelConfig
from model.linear.codebook import BLOCK, Codebook, quantized_codebook
from model.linear.grid import Grid, quantized_grid

WAYS = ("nf4", "int4", "int8")
_BITS = {"int4": 4, "int8": 8}
_LARGEST_GROUP = 128
_OF_LAYERS = re.compile(r"(model\.layers\.\d+\.(self_attn|mlp|block_sparse_moe\.experts\.\d+)\.\w+)\.weight")
_NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}


class Quantizer:
    """One of WAYS, for a model. ValueError if its widths don't allow it."""

    def __init__(self, way: str, config: ModelConfig) -> None:
        self.way = way
        self._dtype: torch.dtype = getattr(torch, config.dtype)
        widths = (config.dim, config.ffn_dim, config.num_heads * config.head_dim)
        self._group = math.gcd(_LARGEST_GROUP, *widths)
        if way == "nf4" and any(width % BLOCK for width in widths):
            raise ValueError(f"nf4 needs widths that {BLOCK} divides, the model has {sorted({*widths})}")
        if way in _BITS and self._group < 8:
            raise ValueError(f"{way} needs widths that 8 divides, the model has {sorted({*widths})}")

    def takes(self, name: str) -> bool:
        return _OF_LAYERS.fullmatch(name) is not None

    def quantized(self, weight: Tensor) -> Grid | Codebook:  # [O, I]
        if self.way == "nf4":
            return quantized_codebook(weight)
        return quantized_grid(weight, _BITS[self.way], self._group, self._dtype)

    def parts(self, name: str, shape: tuple[int, ...], read: Callable[[], Tensor]) -> list[Planned]:
        """What is written of a weight; it is quantized once, when the first part of it is read."""
        outputs, inputs = shape

        @lru_cache(maxsize=1)
        def tensors() -> dict[str, Tensor]:
            return self._tensors(self.quantized(read()), shape)

        def planned(part: str, dtype: str, *sizes: int) -> Planned:
            last = part == self._last

            def take() -> Tensor:
                found = tensors()[part]
                if last:
                    tensors.cache_clear()
                return found

            return Planned(f"{name.removesuffix('.weight')}.{part}", dtype, sizes, take)

        if self.way == "nf4":
            state = f"weight.{_STATE}"
            return [
                planned("weight", "U8", outputs * inputs // 2, 1),
                planned("weight.absmax", "F32", outputs * inputs // BLOCK),
                planned("weight.quant_map", "F32", 16),
                planned(state, "U8", len(self._state(shape))),
            ]
        return [
            planned("weight_packed", "I32", outputs, -(-inputs * _BITS[self.way] // 32)),
            planned("weight_scale", _NAMES[self._dtype], outputs, inputs // self._group),
            planned("weight_shape", "I64", 2),
        ]

    def entry(self, config: ModelConfig) -> dict[str, Any]:
        """quantization_config of config.json."""
        if self.way == "nf4":
            return {
                "quant_method": "bitsandbytes",
                "load_in_4bit": True,
                "load_in_8bit": False,
                "bnb_4bit_quant_type": "nf4",
                "bnb_4bit_use_double_quant": False,
                "bnb_4bit_compute_dtype": config.dtype,
                "bnb_4bit_quant_storage": "uint8",
            }
        weights = {
            "num_bits": _BITS[self.way],
            "type": "int",
            "symmetric": True,
            "strategy": "group",
            "group_size": self._group,
        }
        return {
            "quant_method": "compressed-tensors",
            "format": "pack-quantized",
            "quantization_status": "compressed",
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}},
            "ignore": ["lm_head", "score", "qa_outputs", r"re:.*\.gate$"],
        }

    @property
    def _last(self) -> str:
        return f"weight.{_STATE}" if self.way == "nf4" else "weight_shape"

    def _tensors(self, weight: Grid | Codebook, shape: tuple[int, ...]) -> dict[str, Tensor]:
        if isinstance(weight, Codebook):
            halves = weight.codes.view(-1, 2)
            return {
                "weight": (halves[:, :1] << 4) | halves[:, 1:],
                "weight.absmax": weight.largest,
                "weight.quant_map": weight.table,
                f"weight.{_STATE}": torch.tensor([*self._state(shape)], dtype=torch.uint8),
            }
        return {
            "weight_packed": packed_bits(weight.codes, weight.bits),
            "weight_scale": weight.scales.to(self._dtype),
            "weight_shape": torch.tensor(shape),
        }

    def _state(self, shape: tuple[int, ...]) -> bytes:
        named = str(self._dtype).removeprefix("torch.")
        return json.dumps(
            {"quant_type": "nf4", "blocksize": BLOCK, "dtype": named, "shape": [*shape]}
        ).encode()


_STATE = "quant_state.bitsandbytes__nf4"
