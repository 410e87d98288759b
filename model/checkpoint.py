"""Reading and writing checkpoints in HF's safetensors layout, one file or sharded with an index.

Both name schemes of transformers 5 are read: experts one by one
(`block_sparse_moe.experts.E.w1`), as it writes them by default, and fused
(`mlp.experts.gate_up_proj [E, 2 F, D]`, `mlp.experts.down_proj [E, D, F]`). Only the slices that this rank
needs are read. Pickled weights are never opened.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from model.config import ModelConfig, read_object
from model.parallel import TensorParallel
from model.transformer import Transformer
from model.weights import ALL, Slices, Source, weight_sources

_EXPERT = re.compile(r"(model\.layers\.\d+\.)block_sparse_moe\.experts\.(\d+)\.(w[123])\.weight")
# Derived from the configuration; some older checkpoints store it all the same.
_IGNORED = re.compile(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq")

_STORED_DTYPES = ("F32", "BF16", "F16")  # as safetensors calls them


def load_transformer(
    folder: str | Path,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    tp: TensorParallel | None = None,
) -> Transformer:
    """This rank's part of the checkpoint in `folder`, as `dtype` on `device`.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the configuration is not supported, or names or shapes of weights are not what it says.
    """
    model = _uninitialised(ModelConfig.from_folder(folder), dtype, device, tp)
    with ExitStack() as stack:
        files = [stack.enter_context(_open(file)) for file in weight_files(folder)]
        load_weights(model, files)
    return model.eval()


def check_checkpoint(folder: str | Path, tensor_parallel: int = 1) -> ModelConfig:
    """Raise what `load_transformer` would raise, from the configuration and the files' headers alone."""
    config = ModelConfig.from_folder(folder)
    model = _uninitialised(config, torch.float32, "meta", TensorParallel(0, tensor_parallel))
    with ExitStack() as stack:
        for _ in _matched(model, [stack.enter_context(_open(file)) for file in weight_files(folder)]):
            pass
    return config


def _uninitialised(
    config: ModelConfig, dtype: torch.dtype, device: torch.device | str, tp: TensorParallel | None
) -> Transformer:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            return Transformer(config, tp).to(device)
    finally:
        torch.set_default_dtype(before)


def weight_files(folder: str | Path) -> list[Path]:
    """The safetensors files of a checkpoint; an index must name files of this folder only."""
    folder = Path(folder)
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        files = sorted(folder.glob("model*.safetensors"))
        if not files:
            raise FileNotFoundError(f"{folder}: no model*.safetensors; only safetensors weights are read")
        return files
    try:
        names = sorted(set(read_object(index)["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{index}: not an index of safetensors files") from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
            raise ValueError(f"{index}: names {name!r}, which is not a safetensors file of this folder")
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name}: named in the index, but missing")
    return [folder / name for name in names]


def _open(file: Path) -> Any:
    try:
        return safe_open(file, framework="pt")
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{file}: not a safetensors file: {error}") from error


def load_weights(model: Transformer, files: Iterable[Any]) -> None:
    """Fill the model from opened safetensors files; every name must be expected, every weight found."""
    for source, stored, slices in list(_matched(model, files)):
        source.target.data.copy_(stored[slices].reshape(source.target.shape))


def _matched(model: Transformer, files: Iterable[Any]) -> Iterator[tuple[Source, Any, Slices]]:
    """Each source with the stored tensor and its slices that fill it; ValueError if they don't fit."""
    where: dict[str, Any] = {}
    for file in files:
        for name in file.keys():  # noqa: SIM118
            if name in where:
                raise ValueError(
                    f"{name}: stands in two of the checkpoint's files, so neither can be trusted"
                )
            where[name] = file
    unused = {name for name in where if not _IGNORED.fullmatch(name)}
    if model.config.tie_embeddings:
        unused.discard("lm_head.weight")
    missing = []
    for source in weight_sources(model):
        name, shape, slices = _stored(source, where, model.config)
        unused.discard(name)
        if name not in where:
            missing.append(source.name)
            continue
        stored = where[name].get_slice(name)
        if tuple(stored.get_shape()) != shape:
            raise ValueError(f"{name}: the configuration says shape {shape}, the file {stored.get_shape()}")
        if stored.get_dtype() not in _STORED_DTYPES:
            raise ValueError(
                f"{name}: must be stored as {', '.join(_STORED_DTYPES)}, got {stored.get_dtype()}"
            )
        yield source, stored, slices
    if missing or unused:
        raise ValueError(
            "the weights are not what config.json describes: "
            + "; ".join(
                _listed(what, names)
                for what, names in (("missing", missing), ("unexpected", unused))
                if names
            )
        )


def _stored(
    source: Source, where: dict[str, Any], config: ModelConfig
) -> tuple[str, tuple[int, ...], Slices]:
    """Name, shape and slices of a source as this checkpoint has them: fused or one by one."""
    if source.name in where:
        return source.name, source.shape, source.slices
    if source.name.endswith("block_sparse_moe.gate.weight"):
        return source.name.replace("block_sparse_moe", "mlp"), source.shape, source.slices
    expert = _EXPERT.fullmatch(source.name)
    if expert is None:
        return source.name, source.shape, source.slices
    prefix, number, weight = expert[1] + "mlp.experts.", int(expert[2]), expert[3]
    one, E, F, D = slice(number, number + 1), config.num_experts, config.ffn_dim, config.dim
    if weight == "w2":
        return prefix + "down_proj", (E, D, F), (one, *source.slices)
    share, offset = source.slices[0], F if weight == "w3" else 0
    return (
        prefix + "gate_up_proj",
        (E, 2 * F, D),
        (one, slice(share.start + offset, share.stop + offset), ALL),
    )


def _listed(what: str, names: Iterable[str]) -> str:
    names = sorted(names)
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{what} {', '.join(names[:5])}{more}"


def save_weights(model: Transformer, file: str | Path, dtype: torch.dtype) -> None:
    """Write an unsharded model's weights under HF's names, experts one by one."""
    tensors: dict[str, Tensor] = {
        source.name: source.target.detach().to("cpu", dtype).contiguous() for source in weight_sources(model)
    }
    save_file(tensors, file, metadata={"format": "pt"})
