"""What `convert` writes of a quantized upload, or where it quantizes, and what should be read of it again."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from model.checkpoint.quantized.dequantized_files import QuantizedFile, dequantized_files
from model.checkpoint.quantized.quantized_weight import Numbers, QuantizedWeight
from model.checkpoint.quantized.stated import stated_quantization
from model.checkpoint.quantized.write_quantized import Quantizer
from model.checkpoint.write_safetensors import Planned
from model.config import ModelConfig
from pipeline.errors import ConfigError

DTYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
_STORED_AS = {name: kind for kind, name in DTYPES.items()}


def quantizer_of(quantization: str, config: ModelConfig) -> Quantizer | None:
    """None: weights stay numbers. ConfigError if the model's widths don't allow it."""
    try:
        return Quantizer(quantization, config) if quantization != "none" else None
    except ValueError as error:
        raise ConfigError(f"--quantization: {error}") from error


def type_to_write(stored: Any, config: ModelConfig) -> str:
    """Numbers of quantized weights are rounded to the type that config.json has."""
    return _STORED_AS[config.dtype] if isinstance(stored, QuantizedWeight) else str(stored.get_dtype())


def parts_of(tensor: Planned, quantizer: Quantizer) -> list[Planned]:
    """A tensor as it is, or the parts that it is quantized into."""
    return (
        quantizer.parts(tensor.name, tensor.shape, tensor.read) if quantizer.takes(tensor.name) else [tensor]
    )


def as_written(tensors: Iterable[Planned], quantizer: Quantizer) -> QuantizedFile:
    """What should be read in the target, computed from the source once more."""

    def one(tensor: Planned) -> QuantizedWeight:
        takes = quantizer.takes(tensor.name)
        return QuantizedWeight(
            tensor.shape,
            lambda: quantizer.quantized(tensor.read()) if takes else Numbers(tensor.read()),
        )

    return QuantizedFile({tensor.name: one(tensor) for tensor in tensors})


def quantized_files(folder: Path, files: Sequence[Any], entry: dict[str, Any]) -> list[Any]:
    """The written files, read as the quantized upload that they are."""
    stated = stated_quantization(folder, [], {"quantization_config": entry})
    assert stated is not None
    return dequantized_files(files, stated)
