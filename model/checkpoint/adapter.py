"""A LoRA adapter, as PEFT saves it, merged into the weights of its base while these are read.

A weight W [O, I] becomes W + s B A, with A [r, I] and B [O, r] of the adapter and a scaling s. Embeddings
[V, D] have A [r, V] and B [D, r]. All experts of a layer may have one pair: A [E r, I], expert by expert, and
B [O, r E], in which an expert's columns are E apart. Modules that PEFT trained as a whole replace the base's.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from model.checkpoint.adapter_config import CONFIG, AdapterConfig
from model.checkpoint.head_weights import known_name
from model.checkpoint.safetensors_files import open_weights
from model.checkpoint.tensor_files import StoredTensor, TensorFile, bounds
from model.checkpoint.weight_map import Source, weight_sources
from model.config import ModelConfig
from model.network.transformer import Transformer

WEIGHTS = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_PAIR = re.compile(r"(.+)\.lora_(embedding_)?([AB])(\.weight)?")
_WHOLE = re.compile(r"(.+?)(?:\.base_layer)?\.weight")
_BIASES = ("score.bias", "qa_outputs.bias")  # of heads; the model has no others
_EXPERTS = re.compile(r"((?:model\.)?layers\.\d+\.)mlp\.experts(\.base_layer)*")
_DTYPES = ("F32", "BF16", "F16")


@dataclass(frozen=True)
class Change:
    """What the adapter has for one source: a pair that is added to it, or all of it.

    `of_b` are the rows of B and `of_a` those of A that belong to this source, of all that the pair is for.
    """

    keys: tuple[str, ...]
    whole: StoredTensor | None = None
    a: StoredTensor | None = None
    b: StoredTensor | None = None
    scaling: float = 1.0
    embedding: bool = False
    of_a: slice = field(default_factory=lambda: slice(None))
    rows_of_b: slice = field(default_factory=lambda: slice(None))
    columns_of_b: slice = field(default_factory=lambda: slice(None))

    def merged(self, part: Tensor, source: Source) -> Tensor:
        """The part of the base's weight that this rank reads -> the same of the merged weight."""
        if self.whole is not None:
            return self.whole[source.slices]
        assert self.a is not None
        assert self.b is not None
        rows, columns = bounds(source.slices, source.shape)
        if self.embedding:
            left, right = self.a[:, rows].T.float(), self.b[columns].T.float()
        else:
            first = self.rows_of_b.start or 0
            left = self.b[first + rows.start : first + rows.stop][:, self.columns_of_b].float()
            right = self.a[self.of_a, columns].float()
        return part.float() + (left @ right) * self.scaling


class Adapter:
    def __init__(self, config: AdapterConfig, file: TensorFile, model: ModelConfig) -> None:
        """ValueError if a tensor is none that can be merged into the model."""
        self._model = model
        self._file = file
        self._config = config
        self._changes: dict[str, list[Change]] = {}  # by the source's name
        modules: dict[str, dict[str, str]] = {}
        for key in sorted(file.keys()):
            if file.get_slice(key).get_dtype() not in _DTYPES:
                raise ValueError(f"{key}: must be stored as {', '.join(_DTYPES)}")
            name = key.removeprefix(_PREFIX)
            pair, whole = _PAIR.fullmatch(name), _WHOLE.fullmatch(name)
            if pair:
                modules.setdefault(pair[1], {})[(pair[2] or "") + pair[3]] = key
            elif whole and ".lora_" not in name and key != name:
                self._add(_hf_name(whole[1]), Change((key,), file.get_slice(key)))
            elif name in _BIASES:
                self._add(name, Change((key,), file.get_slice(key)))
            else:
                raise ValueError(f"{key}: is no tensor of a LoRA adapter that can be merged")
        for module, keys in modules.items():
            self._add_pair(module, keys)

    def check(self, sources: Iterable[Source]) -> None:
        """ValueError if something of the adapter fits no weight of the model."""
        unused = {key for changes in self._changes.values() for change in changes for key in change.keys}
        for source in sources:
            for change in self._changes.get(source.name, []):
                unused.difference_update(change.keys)
                _check_shape(change, source)
        if unused:
            more = f" and {len(unused) - 1} more" if len(unused) > 1 else ""
            raise ValueError(f"{min(unused)}{more}: the model has no weight that this is for")

    def changes(self, source: Source) -> bool:
        return source.name in self._changes

    def merged(self, source: Source, part: Tensor) -> Tensor:
        """What a part of the base's weight is with the adapter; in float32 where something was added."""
        for change in self._changes.get(source.name, []):
            part = change.merged(part, source)
        return part

    def _add(self, name: str, change: Change) -> None:
        if self._model.tie_embeddings and name in ("model.embed_tokens.weight", "lm_head.weight"):
            raise ValueError(
                f"{change.keys[0]}: with tie_word_embeddings one matrix is the embeddings and the head, and "
                "programs differ in what an adapter of one of them does to the other"
            )
        self._changes.setdefault(name, []).append(change)

    def _add_pair(self, module: str, keys: dict[str, str]) -> None:
        embedding = "embedding_A" in keys
        names = ("embedding_A", "embedding_B") if embedding else ("A", "B")
        if sorted(keys) != [*names]:
            raise ValueError(f"{min(keys.values())}: its pair is missing, lora_A or lora_B")
        both = keys[names[0]], keys[names[1]]
        a, b = (self._file.get_slice(key) for key in both)
        for key, stored in zip(both, (a, b), strict=True):
            if len(stored.get_shape()) != 2:
                raise ValueError(f"{key}: must be a matrix, got shape {stored.get_shape()}")
        experts = _EXPERTS.fullmatch(module)
        if experts is None:
            known = (module, f"{module}.weight")  # PEFT targets a module or its parameter
            self._check_rank(both, a, b, self._config.rank_of(*known))
            scaling = self._config.scaling_of(*known)
            self._add(_hf_name(module), Change(both, None, a, b, scaling, embedding))
            return
        F, E = self._model.ffn_dim, self._model.num_experts
        outputs, inputs = b.get_shape()[0], a.get_shape()[1]
        fused = {(2 * F, self._model.dim): "gate_up_proj", (self._model.dim, F): "down_proj"}
        if not E or (outputs, inputs) not in fused:
            raise ValueError(f"{both[0]}: no weight of the experts has {outputs} outputs and {inputs} inputs")
        which = fused[outputs, inputs]
        parameter = f"{experts[1]}mlp.experts.{which}"
        rank, scaling = self._config.rank_of(parameter), self._config.scaling_of(parameter)
        self._check_rank(both, a, b, rank * E)
        parts = (
            [("w1", slice(0, F)), ("w3", slice(F, 2 * F))]
            if which == "gate_up_proj"
            else [("w2", slice(None))]
        )
        for e in range(E):
            of_a, of_b = slice(e * rank, (e + 1) * rank), slice(e, None, E)
            for weight, rows in parts:
                name = f"{experts[1]}block_sparse_moe.experts.{e}.{weight}"
                self._add(_hf_name(name), Change(both, None, a, b, scaling, False, of_a, rows, of_b))

    @staticmethod
    def _check_rank(keys: tuple[str, str], a: StoredTensor, b: StoredTensor, rank: int) -> None:
        stored = a.get_shape()[0], b.get_shape()[1]
        if stored != (rank, rank):
            raise ValueError(
                f"{keys[0]}: {CONFIG} says rank {rank}, its matrices have {stored[0]} rows and "
                f"{stored[1]} columns"
            )


def open_adapter(folder: Path, model: Transformer) -> Adapter:
    """The adapter in a folder; FileNotFoundError or ValueError, with its name, if it can't be merged."""
    config = AdapterConfig.from_folder(folder)
    weights = folder / WEIGHTS
    if not weights.is_file():
        pickled = (folder / "adapter_model.bin").exists()
        why = " (adapter_model.bin cannot be used: loading it could run code)" if pickled else ""
        raise FileNotFoundError(f"{folder}: no {WEIGHTS}{why}")
    file = open_weights(weights)
    try:
        adapter = Adapter(config, file, model.config)
        adapter.check(weight_sources(model))
    except ValueError as error:
        raise ValueError(f"{weights}: {error}") from error
    return adapter


def _hf_name(module: str) -> str:
    """The source that a module's weight is; the router's has two names, and a base model's lack `model.`."""
    return known_name(re.sub(r"(layers\.\d+\.)mlp\.gate$", r"\1block_sparse_moe.gate", module) + ".weight")


def _check_shape(change: Change, source: Source) -> None:
    if change.whole is not None:
        stored = tuple(change.whole.get_shape())
    else:
        assert change.a is not None
        assert change.b is not None
        outputs, inputs = change.b.get_shape()[0], change.a.get_shape()[1]
        rows = len(range(*change.rows_of_b.indices(outputs)))
        stored = (inputs, outputs) if change.embedding else (rows, inputs)
    if stored != source.shape:
        raise ValueError(
            f"{change.keys[0]}: is for a weight of shape {stored}, the model's has {source.shape}"
        )
