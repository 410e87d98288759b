"""A checkpoint of any format that is read, written anew in Hugging Face's, as safetensors.

Weights are copied tensor by tensor, number by number, in the type they are stored in, or are quantized. A
file of the target is there once it is whole, and is read back from the disk and compared by its hash.
config.json comes last: what was stopped half-way is no checkpoint, and the same command goes on behind the
files that are there and hold what they should.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.checkpoint.hf_names import match_weights
from model.checkpoint.layer_by_layer import logits_layer_by_layer
from model.checkpoint.load import as_stored, opened, uninitialised
from model.checkpoint.pickled_files import open_pickle, pickled_names
from model.checkpoint.safetensors_files import INDEX, open_weights, weight_names
from model.checkpoint.write_safetensors import Planned, file_size, write_safetensors
from model.config import ModelConfig
from model.network.transformer import Transformer
from pipeline.checkpoints.begun_conversion import BegunConversion, begun
from pipeline.checkpoints.convert_quantized import (
    DTYPES,
    as_written,
    parts_of,
    quantized_files,
    quantizer_of,
    type_to_write,
)
from pipeline.checkpoints.convert_settings import write_json, write_settings
from pipeline.checkpoints.located import judging_files
from pipeline.errors import ConfigError, JobError

_FILE_BYTES = 4 << 30  # of one file of the target; more only for a tensor that is larger
_TRIED = 16  # tokens of the pass that verifies
_NOT_TRUSTED = "a disk or memory is not to be trusted: remove TO and try again"

# Told what is done, and how many bytes of how many.
Progress = Callable[[str, int, int], None]


def convert(
    source: Path,
    target: Path,
    progress: Progress,
    pickles: bool = False,
    file_bytes: int = _FILE_BYTES,
    quantization: str = "none",
) -> ModelConfig:
    """Write the checkpoint in `source` to `target`; `pickles`: from its pickled weights.

    `quantization`: nf4, int4 or int8. With none the weights of a quantized upload become numbers.

    ConfigError if `source` is no checkpoint that can be read, or `target` holds something else.
    """
    with _files(source, pickles) as (stated, files):
        config = as_stored(stated, files)
        model = uninitialised(config, getattr(torch, config.dtype), "meta")
        quantizer = quantizer_of(quantization, config)
        plain = [
            Planned(one.name, kind, one.shape, partial(_read, stored, slices, one.shape, DTYPES[kind]))
            for one, stored, slices in match_weights(model, files)
            for kind in [type_to_write(stored, config)]
        ]
        tensors, expected = plain, files
        if quantizer:
            tensors = [part for one in plain for part in parts_of(one, quantizer)]
            expected = [as_written(plain, quantizer)]
        entry = quantizer.entry(config) if quantizer else None
        shards = _shards(tensors, file_bytes)
        identity = _identity(source, pickles) + quantization.removeprefix("none")
        with begun(target, identity) as conversion:
            _require_space(target, shards)
            written_now = _write(target, shards, conversion, progress)
            _read_back(shards, written_now, conversion, progress)
            progress("a forward pass", 1, 1)
            written = [open_weights(target / name) for name in shards]
            if entry:
                written = quantized_files(target, written, entry)
            _verify(model, expected, written)
            write_settings(source, target, config, plain, entry)
        return config


def _read(stored: Any, slices: Any, shape: tuple[int, ...], dtype: str) -> Tensor:
    part: Tensor = stored[slices]
    return part.reshape(shape).to(getattr(torch, dtype))


@contextmanager
def _files(source: Path, pickles: bool) -> Iterator[tuple[ModelConfig, list[Any]]]:
    try:
        if pickles:
            config = ModelConfig.from_folder(source)
            yield config, [open_pickle(source / name, config) for name in pickled_names(source)]
        else:
            with opened(source) as (config, files):
                yield config, files
    except (ValueError, FileNotFoundError) as error:
        raise ConfigError(f"FROM: {error}") from error


def _identity(source: Path, pickles: bool) -> str:
    """What of the source must not change between a conversion that was stopped and the one that goes on."""
    weights = pickled_names(source) if pickles else weight_names(source)
    states = {name: (source / name).stat() for name in weights}
    found: dict[str, Any] = {name: [one.st_size, one.st_mtime_ns] for name, one in states.items()}
    for name in judging_files([entry.name for entry in source.iterdir() if entry.is_file()]):
        found[name] = hashlib.sha256((source / name).read_bytes()).hexdigest()
    return json.dumps(found)


def _shards(tensors: Sequence[Planned], file_bytes: int) -> dict[str, list[Planned]]:
    """The tensors of each file, in order."""
    groups: list[list[Planned]] = [[]]
    for tensor in tensors:
        if groups[-1] and sum(one.size for one in groups[-1]) + tensor.size > file_bytes:
            groups.append([])
        groups[-1].append(tensor)
    if len(groups) == 1:
        return {"model.safetensors": groups[0]}
    return {f"model-{i:05}-of-{len(groups):05}.safetensors": group for i, group in enumerate(groups, 1)}


def _require_space(target: Path, shards: dict[str, list[Planned]]) -> None:
    missing = sum(file_size(group) for name, group in shards.items() if not (target / name).exists())
    free = shutil.disk_usage(target).free
    if missing > free:
        raise ConfigError(
            f"TO: {target}: {missing / 1e9:,.1f} GB are to be written, {free / 1e9:,.1f} GB are free there"
        )


def _write(
    target: Path, shards: dict[str, list[Planned]], conversion: BegunConversion, progress: Progress
) -> list[str]:
    """The names of the files that were not there."""
    total = sum(file_size(group) for group in shards.values())
    done, written = 0, []
    for name, group in shards.items():
        size = file_size(group)
        there = conversion.is_whole(name, size)
        if not there:
            conversion.is_written(name, write_safetensors(target / name, group))
            written.append(name)
        done += size
        progress(f"{name} was there" if there else name, done, total)
    if len(shards) > 1:
        index = {
            "metadata": {"total_size": sum(tensor.size for group in shards.values() for tensor in group)},
            "weight_map": {tensor.name: name for name, group in shards.items() for tensor in group},
        }
        write_json(target / INDEX, index)
    return written


def _read_back(
    shards: dict[str, list[Planned]], names: Sequence[str], conversion: BegunConversion, progress: Progress
) -> None:
    """Every byte: the forward pass reaches some of the experts only."""
    sizes = {name: file_size(shards[name]) for name in names}
    done = 0
    for name, size in sizes.items():
        progress(f"reading back {name}", done, sum(sizes.values()))
        if not conversion.is_whole(name, size):
            raise JobError(f"TO: {name} is not what was written; {_NOT_TRUSTED}")
        done += size


def _verify(model: Transformer, files: Sequence[Any], written: Sequence[Any]) -> None:
    """A forward pass over what was written gives the very numbers that one over the source gives."""
    token_ids = (torch.arange(_TRIED) * 7919 + 1) % model.config.vocab_size
    own, theirs = (logits_layer_by_layer(model, which, token_ids) for which in (written, files))
    if not torch.equal(own.nan_to_num(), theirs.nan_to_num()):
        raise JobError(f"TO gives other numbers than FROM; {_NOT_TRUSTED}")
    if not own.isfinite().all():
        raise ConfigError("FROM: its forward pass gives NaN or infinity: its weights are damaged")
