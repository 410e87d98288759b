"""What llama.cpp is given is the same model: all weights, its sizes, and rotations of the same pairs."""

import json

import numpy as np
import pytest
import torch
from gguf import MODEL_ARCH, GGUFReader, get_tensor_name_map
from gguf.quants import dequantize
from safetensors.numpy import load_file

from benchmarks.gguf_checkpoint import neighbours_from_halves, write_gguf
from benchmarks.random_checkpoint import SIZES

TINY = SIZES["tiny"]
HEADS = {"q": TINY["num_attention_heads"], "k": TINY["num_key_value_heads"]}


@pytest.fixture(scope="module")
def written(folder):
    write_gguf(folder, folder / "model.gguf")
    return GGUFReader(folder / "model.gguf")


def test_every_weight_has_the_name_that_llama_cpp_has_for_it(folder, written):
    names = get_tensor_name_map(MODEL_ARCH.LLAMA, TINY["num_hidden_layers"])
    tensors = {tensor.name: tensor.data for tensor in written.tensors}
    for name, weights in load_file(folder / "model.safetensors").items():
        layer, _, expert = name.removesuffix(".weight").partition(".experts.")
        if expert:
            number, _, part = expert.partition(".")
            found = tensors[f"{names.get_name(f'{layer}.experts.{part}')}.weight"][int(number)]
        else:
            found = tensors[f"{names.get_name(layer)}.weight"]
        projection = name.removesuffix("_proj.weight")[-1]
        if "self_attn" in name and projection in HEADS:
            weights = neighbours_from_halves(weights, HEADS[projection])
        np.testing.assert_array_equal(found, weights, err_msg=name)
    stacked = 3 * TINY["num_hidden_layers"] * (TINY["num_local_experts"] - 1)
    assert len(tensors) == len(load_file(folder / "model.safetensors")) - stacked


def test_every_size_is_there(written):
    sizes = {name.removeprefix("llama."): field.contents() for name, field in written.fields.items()}
    assert len(sizes["tokenizer.ggml.tokens"]) == TINY["vocab_size"]
    head_dim = TINY["hidden_size"] // TINY["num_attention_heads"]
    expected = {
        "context_length": TINY["max_position_embeddings"],
        "embedding_length": TINY["hidden_size"],
        "block_count": TINY["num_hidden_layers"],
        "feed_forward_length": TINY["intermediate_size"],
        "attention.head_count": TINY["num_attention_heads"],
        "attention.head_count_kv": TINY["num_key_value_heads"],
        "attention.key_length": head_dim,
        "attention.value_length": head_dim,
        "attention.layer_norm_rms_epsilon": pytest.approx(TINY["rms_norm_eps"]),
        "rope.freq_base": TINY["rope_theta"],
        "rope.dimension_count": head_dim,
        "vocab_size": TINY["vocab_size"],
        "expert_count": TINY["num_local_experts"],
        "expert_used_count": TINY["num_experts_per_tok"],
    }
    assert {name: sizes[name] for name in expected} == expected


def test_in_bfloat16_every_weight_is_rounded(folder, written, tmp_path):
    """To what float32 rounds to; norms and routers stay in float32 as llama.cpp wants them."""
    write_gguf(folder, tmp_path / "half.gguf", torch.bfloat16)
    whole = {tensor.name: tensor for tensor in written.tensors}
    for tensor in GGUFReader(tmp_path / "half.gguf").tensors:
        in_float32 = "norm" in tensor.name or "ffn_gate_inp" in tensor.name
        assert tensor.tensor_type.name == ("F32" if in_float32 else "BF16"), tensor.name
        found = dequantize(tensor.data, tensor.tensor_type)
        rounded = torch.tensor(whole[tensor.name].data).to(torch.bfloat16).float().numpy()
        np.testing.assert_array_equal(found, rounded, err_msg=tensor.name)


@pytest.mark.parametrize("change", [{"tie_word_embeddings": True}, {"sliding_window": 8}])
def test_what_it_would_compute_otherwise_is_refused(folder, tmp_path, change):
    (tmp_path / "config.json").write_text(json.dumps(TINY | change))
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"llama\.cpp"):
        write_gguf(tmp_path, tmp_path / "model.gguf")


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
