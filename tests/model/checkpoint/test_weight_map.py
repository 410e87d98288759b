"""What each rank reads of a checkpoint, recorded tensor by tensor."""

from math import prod

import pytest
import torch
from safetensors.torch import load_file

from model.checkpoint.load import load_weights
from model.config import ModelConfig
from model.network.tensor_parallel import TensorParallel
from model.network.transformer import Transformer


class RecordingFile:
    """Stands for an opened safetensors file; counts how often each element of it is read."""

    def __init__(self, tensors):
        self.tensors = tensors
        self.reads = {name: torch.zeros(tensor.shape, dtype=torch.int64) for name, tensor in tensors.items()}

    def keys(self):
        return self.tensors.keys()

    def get_slice(self, name):
        return RecordingSlice(self.tensors[name], self.reads[name])


class RecordingSlice:
    def __init__(self, tensor, reads):
        self.tensor, self.reads = tensor, reads

    def get_shape(self):
        return list(self.tensor.shape)

    def get_dtype(self):
        return "F32"

    def __getitem__(self, slices):
        self.reads[slices] += 1
        return self.tensor[slices]


def replicated(name):
    return "norm" in name or name.endswith("gate.weight")


@pytest.fixture(scope="module")
def stored(oracle, tmp_path_factory):
    """A variant's name and layout -> its configuration and tensors."""

    def read(variant, fused):
        folder = tmp_path_factory.mktemp("stored")
        oracle(variant).model.save_pretrained(folder, save_original_format=not fused)
        return ModelConfig.from_folder(folder), load_file(folder / "model.safetensors")

    return read


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("layout", ["mixtral", "mixtral fused", "one-kv-head", "tied", "dense"])
def test_ranks_share_every_weight_and_read_no_more(layout, size, stored):
    variant, _, fused = layout.partition(" ")
    config, tensors = stored(variant, bool(fused))
    total = RecordingFile(tensors)
    for rank in range(size):
        own = RecordingFile(tensors)
        load_weights(Transformer(config, TensorParallel(rank, size)), [own])
        for name, reads in own.reads.items():
            assert reads.max() == 1, f"{name} is read twice"
            total.reads[name] += reads
            if not replicated(name) and ("k_proj" not in name and "v_proj" not in name):
                assert reads.sum() <= prod(reads.shape) / size + reads[0].numel(), f"{name} is not shared"
    for name, reads in total.reads.items():
        times = 1
        if replicated(name):
            times = size
        elif "k_proj" in name or "v_proj" in name:  # more ranks than KV heads: several hold the same one
            times = max(1, size // config.num_kv_heads)
        assert (reads == times).all(), f"{name} must be read {times} times by all ranks together"


@pytest.mark.parametrize("fused", [False, True])
def test_ranks_hold_the_parts_that_multiply_to_the_whole(fused, stored):
    """What the ranks compute apart adds up: the experts' halves and the heads' outputs fit together."""
    config, tensors = stored("mixtral", fused)
    x = torch.randn(5, config.dim, generator=torch.Generator().manual_seed(0))

    def of_rank(rank, size):
        model = Transformer(config, TensorParallel(rank, size))
        load_weights(model, [RecordingFile(tensors)])
        experts, attention = model.blocks[1].feed_forward, model.blocks[1].attention
        gate, up = (x @ experts.w13[3].T).chunk(2, dim=-1)
        ffn = (torch.nn.functional.silu(gate) * up) @ experts.w2[3].T
        queries = (x @ attention.wqkv.weight.T)[:, : attention.num_heads * attention.head_dim]
        return ffn, queries @ attention.wo.weight.T

    whole = of_rank(0, 1)
    parts = zip(*(of_rank(rank, 4) for rank in range(4)), strict=True)
    for part, expected in zip(parts, whole, strict=True):
        torch.testing.assert_close(sum(part), expected, atol=1e-4, rtol=1e-4)
