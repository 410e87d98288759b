"""Checkpoints loaded, checked and saved; each rank reads only the slices it needs."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from model.checkpoint.adapter import Adapter, open_adapter
from model.checkpoint.adapter_config import AdapterConfig
from model.checkpoint.fill import fill
from model.checkpoint.head_weights import with_head_of_weights
from model.checkpoint.held_weights import HELD, fill_held
from model.checkpoint.hf_names import match_weights
from model.checkpoint.kept_weights import few_bits_of, holds_quantized
from model.checkpoint.mistral_names import MistralFile
from model.checkpoint.quantized.dequantized_files import dequantized_files
from model.checkpoint.safetensors_files import (
    is_mistral_format,
    open_weights,
    quantization_of,
    weight_files,
)
from model.checkpoint.tied_head import with_stored_head
from model.checkpoint.weight_map import weight_sources
from model.config import ModelConfig
from model.network.tensor_parallel import TensorParallel
from model.network.transformer import Transformer

_RANDOM_STD = 0.02

logger = logging.getLogger(__name__)


def load_transformer(
    folder: str | Path,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    tp: TensorParallel | None = None,
    adapter: str | Path | None = None,
    quantization: str | None = None,
) -> Transformer:
    """This rank's part of the checkpoint in `folder`, as `dtype` on `device`.

    `adapter`: the folder of a LoRA adapter that is merged into it. `quantization`: int4 or nf4, by which its
    weights are quantized as they are read; none, by which weights that are stored in few bits stay so. Such
    a model is laid out. None: all weights are numbers.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the configuration is not supported, or names or shapes of weights are not what it says.
    """
    with opened(folder) as (config, files):
        stored = as_stored(config, files)
        if quantization in HELD or (quantization == "none" and holds_quantized(files)):
            model = uninitialised(stored, dtype, "meta", tp)
            merged = open_adapter(Path(adapter), model) if adapter else None
            if quantization in HELD or few_bits_of(model, match_weights(model, files), merged).numbers:
                fill_held(model, files, merged, str(quantization), dtype, torch.device(device))
                return model.eval()
        model = uninitialised(stored, dtype, device, tp)
        load_weights(model, files, open_adapter(Path(adapter), model) if adapter else None)
    return model.eval()


def random_transformer(
    folder: str | Path,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    tp: TensorParallel | None = None,
) -> Transformer:
    """Of the shape that config.json in `folder` gives, with weights drawn on the device from a seed."""
    model = uninitialised(ModelConfig.from_folder(folder), dtype, device, tp)
    generator = torch.Generator(device).manual_seed(0)
    for name, parameter in model.named_parameters():
        if name.endswith("norm.weight"):
            parameter.fill_(1.0)
        else:
            parameter.normal_(0.0, _RANDOM_STD, generator=generator)
    return model.eval()


def load_weights(model: Transformer, files: Iterable[Any], adapter: Adapter | None = None) -> None:
    """Fill the model from opened safetensors files; ValueError if names or shapes don't fit."""
    found = list(match_weights(model, files))
    if adapter is None:
        fill(found)
        return
    for source, stored, slices in found:  # one at a time: in float32 a matrix takes twice its memory
        part = stored[slices].reshape(source.target.shape)
        source.target.data.copy_(adapter.merged(source, part))


def check_config(
    folder: str | Path, tensor_parallel: int = 1, adapter: str | Path | None = None
) -> ModelConfig:
    """Raise what `load_transformer` would raise, as far as the configuration tells, without weights."""
    if adapter:
        AdapterConfig.from_folder(Path(adapter))
    config = ModelConfig.from_folder(folder)
    uninitialised(config, torch.float32, "meta", TensorParallel(0, tensor_parallel))
    return config


def check_checkpoint(
    folder: str | Path, tensor_parallel: int = 1, adapter: str | Path | None = None
) -> ModelConfig:
    """Raise what `load_transformer` would raise, from the configuration and the files' headers alone.

    The configuration then has what the headers tell.
    """
    with opened(folder) as (stated, files):
        config = as_stored(stated, files)
        model = uninitialised(config, torch.float32, "meta", TensorParallel(0, tensor_parallel))
        found = [*match_weights(model, files)]
        merged = open_adapter(Path(adapter), model) if adapter else None
        config = replace(config, few_bits=few_bits_of(model, found, merged))
    if config.tie_embeddings != stated.tie_embeddings:
        logger.warning(
            "%s: config.json says tie_word_embeddings, but an lm_head.weight with other values is stored; "
            "that one is used, as transformers 5 does",
            folder,
        )
    return config


@contextmanager
def opened(folder: str | Path) -> Iterator[tuple[ModelConfig, list[Any]]]:
    """The configuration as it is stated, and the opened weight files, under HF's names.

    Quantized weights are shown as if they were plain: see `model.checkpoint.quantized`.
    """
    names = weight_files(folder)  # first: another kind of upload has another kind of config.json
    config = ModelConfig.from_folder(folder)
    with ExitStack() as stack:
        files: list[Any] = [stack.enter_context(open_weights(file)) for file in names]
        if is_mistral_format(folder):
            files = [MistralFile(file, config) for file in files]
        elif stated := quantization_of(folder):
            files = dequantized_files(files, stated)
        yield config, files


def as_stored(config: ModelConfig, files: list[Any]) -> ModelConfig:
    """The configuration with the head that is stored."""
    names = {name for file in files for name in file.keys()}  # noqa: SIM118
    return with_stored_head(with_head_of_weights(config, names), files)


def uninitialised(
    config: ModelConfig, dtype: torch.dtype, device: torch.device | str, tp: TensorParallel | None = None
) -> Transformer:
    """A model of that shape; on the device "meta" it takes no memory."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            return Transformer(config, tp).to(device)
    finally:
        torch.set_default_dtype(before)


def save_weights(model: Transformer, file: str | Path, dtype: torch.dtype) -> None:
    """Write an unsharded model's weights under HF's names, experts one by one."""
    tensors: dict[str, Tensor] = {
        source.name: source.target.detach().to("cpu", dtype).contiguous() for source in weight_sources(model)
    }
    save_file(tensors, file, metadata={"format": "pt"})
