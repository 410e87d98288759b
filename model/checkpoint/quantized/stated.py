"""How an upload says that its weights are quantized, and which of these ways are read."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.json_values import positive_integer, read_object, short

# Of quantization_config.quant_method, how people call those that are read; others as they call themselves.
AWQ, GPTQ, BITSANDBYTES, FP8, COMPRESSED = "AWQ", "GPTQ", "bitsandbytes", "fp8", "compressed-tensors"
_METHODS = {
    "awq": AWQ, "gptq": GPTQ, "bitsandbytes": BITSANDBYTES, "fp8": FP8, "fbgemm_fp8": FP8,
    "compressed-tensors": COMPRESSED,
}  # fmt: skip
_OTHERS = {"exl2": "EXL2", "modelopt": "ModelOpt", "gguf": "GGUF"}
# Of older uploads: the file that says it.
OLD_FILES = {"quant_config.json": AWQ, "quantize_config.json": GPTQ}
_FORMATS = ("pack-quantized", "int-quantized", "float-quantized", "naive-quantized")
_READ = (
    "read are AWQ (gemm), GPTQ, bitsandbytes, fp8 and compressed-tensors in 4 and 8 bits; give one of these, "
    "or the upload that is not quantized (model.quantization can make it small)"
)


@dataclass(frozen=True)
class Stated:
    method: str
    bits: tuple[int, ...] = ()  # of a code, one of these
    groups: tuple[int, ...] = ()  # inputs that share a scale, one of these; (): it is not said
    less_one: bool = False  # GPTQ's zeros
    block: tuple[int, int] | None = None  # of fp8


def stated_quantization(folder: Path, names: Collection[str], config: dict[str, Any]) -> Stated | None:
    """What config.json, or the file that older uploads have instead, says; None: not quantized.

    ValueError if it is a way that is not read.
    """
    entry = config.get("quantization_config") or config.get("compression_config")
    if entry is None and (entry := config.get("quantization")):
        raise ValueError(f"the weights are quantized with {_other(entry)}; {_READ}")
    old = next((name for name in OLD_FILES if name in names), None)
    if entry is None and old:
        return _stated(OLD_FILES[old], read_object(folder / old), old)
    if entry is None and "hf_quant_config.json" in names:
        raise ValueError(f"the weights are quantized with ModelOpt; {_READ}")
    if entry is None:
        return None
    named = entry.get("quant_method") if isinstance(entry, dict) else None
    if named is None and isinstance(entry, dict) and ("load_in_4bit" in entry or "load_in_8bit" in entry):
        named = "bitsandbytes"
    if named is None and "compression_config" in config:
        named = "compressed-tensors"
    method = _METHODS.get(named) if isinstance(named, str) else None
    if method is None or not isinstance(entry, dict):
        raise ValueError(f"the weights are quantized with {_other(entry)}; {_READ}")
    return _stated(method, entry, "quantization_config in config.json")


def _stated(method: str, entry: dict[str, Any], source: str) -> Stated:
    if method == AWQ:
        width = entry.get("bits", entry.get("w_bit"))
        version = _one_of(entry, "version", "format", source) or "gemm"
        _require(type(width) is int and width == 4, f"{source}: bits of AWQ must be 4, got {short(width)}")
        _require(version == "gemm", f"{source}: version of AWQ must be gemm, got {short(version)}")
        return Stated(AWQ, (4,), _groups([entry]))
    if method == GPTQ:
        bits: Any = entry.get("bits")
        kind = _one_of(entry, "checkpoint_format", "format", source) or "gptq"
        _require(
            type(bits) is int and bits in (4, 8), f"{source}: bits of GPTQ must be 4 or 8, got {short(bits)}"
        )
        _require(
            kind in ("gptq", "gptq_v2") and not entry.get("is_marlin_format"),
            f"{source}: checkpoint_format of GPTQ must be gptq or gptq_v2, got "
            f"{'marlin' if entry.get('is_marlin_format') else short(kind)}",
        )
        # With `dynamic` some modules have groups of their own.
        groups = () if entry.get("dynamic") else _groups([entry])
        return Stated(GPTQ, (bits,), groups, less_one=kind == "gptq")
    if method == COMPRESSED:
        return _compressed(entry, source)
    return Stated(method, block=_block(entry.get("weight_block_size"), "weight_block_size", source))


def _one_of(entry: dict[str, Any], key: str, other: str, source: str) -> str | None:
    """What a key says, or another that some programs write in its place, in lower case."""
    given = [entry[name] for name in (key, other) if entry.get(name) is not None]
    values = {value.lower() if isinstance(value, str) else short(value) for value in given}
    if len(values) > 1:
        raise ValueError(
            f"{source}: {key} and {other} contradict each other: {', '.join(map(short, sorted(values)))}"
        )
    return next(iter(values), None)


def _groups(settings: list[dict[str, Any]]) -> tuple[int, ...]:
    sizes = [setting.get("group_size", setting.get("q_group_size")) for setting in settings]
    return tuple(sorted({size for size in sizes if type(size) is int and size > 0}))


def _compressed(entry: dict[str, Any], source: str) -> Stated:
    found = entry.get("format")
    _require(
        isinstance(found, str) and found in _FORMATS,
        f"{source}: format of compressed-tensors must be one of {', '.join(_FORMATS)}, got {short(found)}",
    )
    if entry.get("transform_config"):
        raise ValueError(f"{source}: transform_config is set: weights that are rotated are not read")
    sparsity = entry.get("sparsity_config")
    kind = sparsity.get("format") if isinstance(sparsity, dict) else None
    _require(
        not sparsity or kind in (None, "dense"),
        f"{source}: sparsity_config: weights with gaps are not read, got {short(kind)}",
    )
    groups = entry.get("config_groups")
    schemes = [*groups.values()] if isinstance(groups, dict) else []
    given = [scheme.get("weights") for scheme in schemes if isinstance(scheme, dict)]
    settings: list[dict[str, Any]] = [one for one in given if isinstance(one, dict)]
    bits = [one.get("num_bits") for one in settings]
    if found == "pack-quantized":
        for width in bits:
            _require(
                type(width) is int and width in (4, 8),
                f"{source}: num_bits of pack-quantized must be 4 or 8, got {short(width)}",
            )
    blocks = {_block(one.get("block_structure"), "block_structure", source) for one in settings}
    _require(len(blocks - {None}) < 2, f"{source}: block_structure must be one for all weights")
    return Stated(
        COMPRESSED,
        tuple(sorted({width for width in bits if type(width) is int})) or (4, 8),
        _groups(settings),
        block=next(iter(blocks - {None}), None),
    )


def _block(block: Any, key: str, source: str) -> tuple[int, int] | None:
    if block is None:
        return None
    if not isinstance(block, list) or len(block) != 2:
        raise ValueError(f"{source}: {key} must be two numbers, got {short(block)}")
    rows, columns = (positive_integer(size, key, 1 << 20, source) for size in block)
    return rows, columns


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(f"{message}; {_READ}")


def _other(entry: Any) -> str:
    """The name of a method that is not read."""
    if not isinstance(entry, dict):
        return "a method that config.json does not name"
    named = entry.get("quant_method")
    if named is None:
        mlx = {"bits", "group_size"} <= entry.keys()
        return "MLX" if mlx else "a method that config.json does not name"
    return _OTHERS.get(named, named[:60]) if isinstance(named, str) else type(named).__name__
