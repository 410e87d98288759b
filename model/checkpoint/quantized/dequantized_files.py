"""The files of a quantized upload, shown as if each weight were one matrix of numbers under its own name."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor

from model.checkpoint.quantized import awq, gptq
from model.checkpoint.quantized.awq import awq_weight
from model.checkpoint.quantized.bitsandbytes import NESTED, STATES, eight_bit_weight, four_bit_weight
from model.checkpoint.quantized.fp8 import fp8_weight
from model.checkpoint.quantized.gptq import gptq_weight
from model.checkpoint.quantized.quantized_weight import Parts, QuantizedWeight
from model.checkpoint.quantized.stated import AWQ, BITSANDBYTES, GPTQ, Stated
from model.checkpoint.quantized.whole_numbers import packed_weight, signed_weight
from model.checkpoint.tensor_files import StoredTensor, TensorFile

# Of the activations or the cache, which are not rounded here, or told elsewhere too.
_PASSED_OVER = re.compile(
    r".+\.(input_scale|input_zero_point|output_scale|input_global_scale|k_scale|v_scale|kv_scale"
    r"|input_scale_ub|activation_scale)"
)
_PARTS = {
    AWQ: re.compile(r"(.+)\.(qweight|qzeros|scales)"),
    GPTQ: re.compile(r"(.+)\.(qweight|qzeros|scales|g_idx)"),
    BITSANDBYTES: re.compile(
        r"(.+?)(?:\.weight)?\.(absmax|quant_map|nested_absmax|nested_quant_map|quant_state\.bitsandbytes__\w+"
        r"|SCB|weight_format)"
    ),
}
_SCALED = re.compile(
    r"(.+)\.(weight_scale|weight_scale_inv|weight_packed|weight_shape|weight_zero_point|weight_g_idx)"
)


class PlainFile:
    """A file without the tensors that are parts of quantized weights."""

    def __init__(self, file: TensorFile, names: Iterable[str]) -> None:
        self._file, self._names = file, [*names]

    def keys(self) -> list[str]:
        return self._names

    def get_slice(self, name: str) -> StoredTensor:
        return self._file.get_slice(name)

    def get_tensor(self, name: str) -> Tensor:
        return self._file.get_tensor(name)


class QuantizedFile:
    """All quantized weights of an upload, whose parts may stand in several files."""

    def __init__(self, weights: Mapping[str, StoredTensor]) -> None:
        self._weights = weights

    def keys(self) -> list[str]:
        return [*self._weights]

    def get_slice(self, name: str) -> StoredTensor:
        return self._weights[name]

    def get_tensor(self, name: str) -> Tensor:
        return self._weights[name][:]


def dequantized_files(files: Iterable[TensorFile], stated: Stated) -> list[Any]:
    """The opened files as TensorFiles of plain numbers; ValueError if parts of a weight don't fit."""
    files = [*files]
    pattern = _PARTS.get(stated.method, _SCALED)
    where: dict[str, TensorFile] = {}
    found: dict[str, dict[str, tuple[str, StoredTensor]]] = {}
    for file in files:
        for name in file.keys():  # noqa: SIM118
            if name in where:
                raise ValueError(
                    f"{name}: stands in two of the checkpoint's files, so neither can be trusted"
                )
            where[name] = file
            if match := pattern.fullmatch(name):
                found.setdefault(match[1], {})[match[2]] = name, file.get_slice(name)
    if not found:
        raise ValueError(f"the weights should be quantized with {stated.method}, but none of them is")
    for module, parts in found.items():
        for part in ("weight", "bias"):
            if (name := f"{module}.{part}") in where:
                parts[part] = name, where[name].get_slice(name)
    taken = {name for parts in found.values() for name, _ in parts.values()}
    left = {name for name in where if name not in taken and not _PASSED_OVER.fullmatch(name)}
    weights = {f"{module}.weight": _weight(Parts(module, parts), stated) for module, parts in found.items()}
    plain = [PlainFile(file, [name for name in file.keys() if name in left]) for file in files]  # noqa: SIM118
    return [*plain, QuantizedFile(weights)]


def _weight(parts: Parts, stated: Stated) -> QuantizedWeight:
    if stated.method == AWQ:
        return _complete(parts, stated, awq.REQUIRED, set(), awq_weight)
    if stated.method == GPTQ:
        return _complete(
            parts,
            stated,
            gptq.REQUIRED,
            gptq.OPTIONAL,
            lambda of: gptq_weight(of, stated.bits[0], stated.less_one),
        )
    if stated.method == BITSANDBYTES:
        if "SCB" in parts:
            return _complete(parts, stated, {"weight", "SCB"}, {"weight_format"}, eight_bit_weight)
        state = {part for part in STATES if part in parts} or {STATES[0]}
        nested = NESTED if parts.named() & NESTED else set()
        return _complete(
            parts, stated, {"weight", "absmax", "quant_map"} | nested | state, set(), four_bit_weight
        )
    if "weight_packed" in parts:
        optional = {"weight_zero_point", "weight_g_idx"}
        required = {"weight_packed", "weight_scale", "weight_shape"}
        return _complete(parts, stated, required, optional, lambda of: packed_weight(of, stated.bits))
    if "weight" in parts and parts["weight"].get_dtype() == "I8":
        return _complete(parts, stated, {"weight", "weight_scale"}, {"weight_zero_point"}, signed_weight)
    scale = "weight_scale_inv" if "weight_scale_inv" in parts else "weight_scale"
    return _complete(parts, stated, {"weight", scale}, set(), lambda of: fp8_weight(of, stated.block))


def _complete(
    parts: Parts,
    stated: Stated,
    required: set[str],
    optional: set[str],
    read: Callable[[Parts], QuantizedWeight],
) -> QuantizedWeight:
    if missing := required - parts.named():
        raise ValueError(
            f"{parts.module}: of its weight in {stated.method} {', '.join(sorted(missing))} is missing"
        )
    if more := parts.named() - required - optional:
        raise ValueError(f"{parts.name(min(more))}: is no part that a weight in {stated.method} has")
    weight = read(parts)
    _check_groups(weight, parts.module, stated)
    return weight


def _check_groups(weight: QuantizedWeight, module: str, stated: Stated) -> None:
    """How many inputs share a scale follows from shapes, unless groups are told one by one."""
    kept = weight.kept
    if kept is None or kept.table or kept.groups is not None:
        return
    if stated.groups and kept.group not in (*stated.groups, kept.inputs):
        raise ValueError(
            f"{module}: its scales are of groups of {kept.group} inputs, quantization_config says "
            f"{' or '.join(map(str, stated.groups))}"
        )
