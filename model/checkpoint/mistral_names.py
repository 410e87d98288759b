"""Files of Mistral's own format, shown as if they held Hugging Face's names and order of rows.

H heads, hd head dimension, E experts, F an expert's hidden width, D model width.

Mistral rotates neighbouring rows of a head, HF one half against the other. So the rows of queries and keys
are reordered, per head from 0, hd / 2, 1, hd / 2 + 1, ... to 0, 1, 2, ...: exact, since they only move.
"""

import re
from dataclasses import dataclass

from torch import Tensor

from model.checkpoint.tensor_files import Slices, StoredTensor, TensorFile, bounds
from model.config import ModelConfig

_WHOLE = {
    "tok_embeddings.weight": "model.embed_tokens.weight",
    "norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_LAYER = re.compile(r"layers\.(\d+)\.(.+)")
_OF_LAYER = {
    "attention.wq.weight": "self_attn.q_proj.weight",
    "attention.wk.weight": "self_attn.k_proj.weight",
    "attention.wv.weight": "self_attn.v_proj.weight",
    "attention.wo.weight": "self_attn.o_proj.weight",
    "attention_norm.weight": "input_layernorm.weight",
    "ffn_norm.weight": "post_attention_layernorm.weight",
    "feed_forward.gate.weight": "block_sparse_moe.gate.weight",
    "block_sparse_moe.gate.weight": "block_sparse_moe.gate.weight",
    "feed_forward.w1.weight": "mlp.gate_proj.weight",
    "feed_forward.w2.weight": "mlp.down_proj.weight",
    "feed_forward.w3.weight": "mlp.up_proj.weight",
}
_EXPERT = re.compile(r"feed_forward\.(experts\.\d+\.w[123]\.weight)")
_STACKED = re.compile(r"block_sparse_moe\.(w[123])")
_ROTATED = re.compile(r"layers\.\d+\.attention\.w[qk]\.weight")
_OF_HF = re.compile(
    r"(model|lm_head|embed_tokens)\.|layers\.\d+\.(self_attn|input_layernorm|post_attention_layernorm|mlp)\."
)


class MistralFile:
    """A TensorFile under HF's names; names that neither format has stay as they are.

    ValueError if it has HF's own: in which order its rows are can't be told.
    """

    def __init__(self, file: TensorFile, config: ModelConfig) -> None:
        self._file = file
        self._config = config
        self._own: dict[str, tuple[str, int | None]] = {}  # HF's name -> own name, and which expert of it
        for own in file.keys():  # noqa: SIM118
            if _OF_HF.match(own):
                raise ValueError(
                    f"{own}: this is a name of Hugging Face's format, beside a params.json and no config.json"
                )
            for name, expert in _hf_names(own, config):
                self._own[name] = own, expert

    def keys(self) -> list[str]:
        return [*self._own]

    def get_slice(self, name: str) -> StoredTensor:
        own, expert = self._own[name]
        stored = self._file.get_slice(own)
        if expert is not None:
            return _OneExpert(stored, expert, self._config.num_experts, transposed=own.endswith("w2"))
        return _Halves(stored, self._config.head_dim) if _ROTATED.fullmatch(own) else stored

    def get_tensor(self, name: str) -> Tensor:
        return self.get_slice(name)[:]


def _hf_names(own: str, config: ModelConfig) -> list[tuple[str, int | None]]:
    """HF's name of a tensor; of a stack of experts, one for each."""
    if own in _WHOLE:
        return [(_WHOLE[own], None)]
    layer = _LAYER.fullmatch(own)
    if layer is None:
        return [(own, None)]
    prefix, rest = f"model.layers.{layer[1]}.", layer[2]
    if expert := _EXPERT.fullmatch(rest):
        return [(f"{prefix}block_sparse_moe.{expert[1]}", None)]
    if stack := _STACKED.fullmatch(rest):
        names = f"{prefix}block_sparse_moe.experts.{{}}.{stack[1]}.weight"
        return [(names.format(expert), expert) for expert in range(config.num_experts)]
    return [(prefix + _OF_LAYER[rest] if rest in _OF_LAYER else own, None)]


@dataclass
class _Halves:
    """Rows of heads, [H hd, D], reordered. A slice of rows holds whole heads."""

    stored: StoredTensor
    head_dim: int

    def get_shape(self) -> list[int]:
        return self.stored.get_shape()

    def get_dtype(self) -> str:
        return self.stored.get_dtype()

    def __getitem__(self, slices: Slices) -> Tensor:
        rows: Tensor = self.stored[slices]
        assert len(rows) % self.head_dim == 0
        neighbours = rows.view(-1, self.head_dim // 2, 2, *rows.shape[1:])
        return neighbours.transpose(1, 2).reshape(rows.shape)


@dataclass
class _OneExpert:
    """An expert's matrix out of a stack of all, [E F, D]; w2 lies transposed in it."""

    stored: StoredTensor
    expert: int
    num_experts: int
    transposed: bool

    def get_shape(self) -> list[int]:
        rows, *columns = self.stored.get_shape()
        if rows % self.num_experts:
            return [rows, *columns]  # which no configuration describes
        own = [rows // self.num_experts, *columns]
        return own[::-1] if self.transposed else own

    def get_dtype(self) -> str:
        return self.stored.get_dtype()

    def __getitem__(self, slices: Slices) -> Tensor:
        wanted = bounds(slices, self.get_shape())
        rows, columns = wanted[::-1] if self.transposed else wanted
        first = self.expert * (self.stored.get_shape()[0] // self.num_experts)
        part: Tensor = self.stored[slice(first + rows.start, first + rows.stop), columns]
        return part.T if self.transposed else part
