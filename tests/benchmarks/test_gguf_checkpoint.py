"""What llama.cpp is given is the same model: all weights, its sizes, and rotations of the same pairs."""

import numpy as np
import pytest
from gguf import GGUFReader
from safetensors.numpy import load_file

from benchmarks.gguf_checkpoint import neighbours_from_halves, write_gguf
from benchmarks.random_checkpoint import SIZES, write_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("random")
    write_checkpoint(folder, "tiny")
    return folder


def test_every_weight_and_size_is_there_once(folder):
    write_gguf(folder, folder / "model.gguf")
    written = GGUFReader(folder / "model.gguf")
    stored = load_file(folder / "model.safetensors")
    assert sum(int(tensor.n_elements) for tensor in written.tensors) == sum(w.size for w in stored.values())
    tensors = {tensor.name: tensor.data for tensor in written.tensors}
    for expert in range(8):
        np.testing.assert_array_equal(
            tensors["blk.1.ffn_down_exps.weight"][expert],
            stored[f"model.layers.1.block_sparse_moe.experts.{expert}.w2.weight"],
        )
    assert written.fields["llama.expert_used_count"].contents() == 2
    assert written.fields["llama.embedding_length"].contents() == SIZES["tiny"]["hidden_size"]
    assert len(written.fields["tokenizer.ggml.tokens"].data) == SIZES["tiny"]["vocab_size"]


def test_neighbours_rotate_as_the_halves_did():
    dice = np.random.default_rng(0)
    heads, half, hidden = 3, 4, 10
    weights = dice.standard_normal((heads * 2 * half, hidden))
    token = dice.standard_normal(hidden)
    turn = np.exp(1j * dice.standard_normal(half))
    first, second = (weights @ token).reshape(heads, 2, half).swapaxes(0, 1)
    by_halves = (first + 1j * second) * turn
    neighbours = neighbours_from_halves(weights, heads) @ token
    first, second = neighbours.reshape(heads, half, 2).transpose(2, 0, 1)
    np.testing.assert_allclose((first + 1j * second) * turn, by_halves)
