"""A model's weights found under the names a checkpoint gives them.

Both name schemes of transformers 5 are read: experts one by one
(`block_sparse_moe.experts.E.w1`), as it writes them by default, and fused
(`mlp.experts.gate_up_proj [E, 2 F, D]`, `mlp.experts.down_proj [E, D, F]`).
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from model.checkpoint.head_weights import LANGUAGE_HEAD, known_name
from model.checkpoint.upload import require_known_tensors
from model.checkpoint.weight_map import ALL, Slices, Source, weight_sources
from model.config import ModelConfig
from model.network.transformer import Transformer
from model.trained_head import HeadKind

_EXPERT = re.compile(r"(model\.layers\.\d+\.)block_sparse_moe\.experts\.(\d+)\.(w[123])\.weight")
# Derived from the configuration; some older checkpoints store it all the same.
_IGNORED = re.compile(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq")

_STORED_DTYPES = ("F32", "BF16", "F16")  # as safetensors calls them


def match_weights(model: Transformer, files: Iterable[Any]) -> Iterator[tuple[Source, Any, Slices]]:
    """Each source with the stored tensor and its slices that fill it; ValueError if they don't fit."""
    where: dict[str, tuple[Any, str]] = {}  # the file, and the tensor's name in it
    for file in files:
        for name in file.keys():  # noqa: SIM118
            if other := where.get(known_name(name)):
                twice = "in two of the checkpoint's files" if other[1] == name else f"beside {other[1]}"
                raise ValueError(f"{name}: stands {twice}, so neither can be trusted")
            where[known_name(name)] = file, name
    require_known_tensors(name for _, name in where.values())
    unused = {name for name in where if not _IGNORED.fullmatch(name)}
    if model.config.tie_embeddings or model.config.trained.kind is not HeadKind.LANGUAGE:
        unused.discard(LANGUAGE_HEAD)
    missing = []
    for source in weight_sources(model):
        name, shape, slices = _stored(source, where, model.config)
        unused.discard(name)
        if name not in where:
            missing.append(source.name)
            continue
        file, stored_name = where[name]
        stored = file.get_slice(stored_name)
        if tuple(stored.get_shape()) != shape:
            raise ValueError(f"{name}: the configuration says shape {shape}, the file {stored.get_shape()}")
        if stored.get_dtype() not in _STORED_DTYPES:
            raise ValueError(
                f"{name}: must be stored as {', '.join(_STORED_DTYPES)}, got {stored.get_dtype()}"
            )
        yield source, stored, slices
    unexpected = [where[name][1] for name in unused]
    if missing or unexpected:
        raise ValueError(
            "the weights are not what config.json describes: "
            + "; ".join(
                _listed(what, names)
                for what, names in (("missing", missing), ("unexpected", unexpected))
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
