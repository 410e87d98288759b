"""Mistral's own format gives the very weights that HF's gives, and what a plain calculation over it gives."""

import json
import re

import pytest
import torch
from safetensors.torch import load_file, save_file

from model.checkpoint.load import check_checkpoint, load_transformer
from model.checkpoint.mistral_names import MistralFile
from model.checkpoint.safetensors_files import open_weights, weight_names
from model.config import ModelConfig
from model.engine import Engine
from model.network.tensor_parallel import TensorParallel
from model.sampling.sampling_params import SamplingParams
from tests.model.checkpoint.mistral_format import mistral_tensors, plain_logits, write_mistral
from tests.model.checkpoint.refusal import PROMPT, logits_of, refused

VARIANTS = ["mixtral", "three-choices", "wide-heads", "one-kv-head", "window", "dense", "dense-window"]


@pytest.fixture
def mistral(checkpoint, tmp_path):
    return write_mistral(checkpoint("mixtral"), tmp_path / "mistral")


@pytest.mark.parametrize("variant", VARIANTS)
def test_weights_are_those_of_the_other_format_to_the_bit(variant, checkpoint, tmp_path):
    folder = write_mistral(checkpoint(variant), tmp_path / "mistral")
    ours, theirs = (load_transformer(f, torch.float32).state_dict() for f in (folder, checkpoint(variant)))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    own, other = ModelConfig.from_folder(folder), ModelConfig.from_folder(checkpoint(variant))
    assert own.rope == other.rope
    assert own.sliding_window == other.sliding_window


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_are_those_of_a_plain_calculation(variant, checkpoint, oracle, tmp_path):
    folder = write_mistral(checkpoint(variant), tmp_path / "mistral")
    plain = plain_logits(folder, PROMPT)
    torch.testing.assert_close(plain, oracle(variant).logits(PROMPT), atol=1e-4, rtol=0)
    torch.testing.assert_close(logits_of(folder), plain, atol=1e-4, rtol=0)


def test_ranks_read_whole_heads(mistral, checkpoint):
    for rank in range(2):
        tp = TensorParallel(rank, 2)
        ours, theirs = (
            load_transformer(f, torch.float32, tp=tp).state_dict() for f in (mistral, checkpoint("mixtral"))
        )
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_the_same_tokens(mistral, checkpoint, oracle):
    engine = Engine.load(mistral, "float32", threads=1)
    [answer] = engine.generate([PROMPT], SamplingParams(max_new_tokens=12, ignore_eos=True))
    assert answer.token_ids == oracle("mixtral").generate(tuple(PROMPT), 12)
    engine.close()


@pytest.mark.parametrize("with_index", [True, False])
def test_shards(with_index, mistral, checkpoint):
    tensors = load_file(mistral / "consolidated.safetensors")
    (mistral / "consolidated.safetensors").unlink()
    names = sorted(tensors)
    shards = {f"consolidated-0000{i + 1}-of-00002.safetensors": names[i::2] for i in range(2)}
    for file, inside in shards.items():
        save_file({name: tensors[name] for name in inside}, mistral / file)
    if with_index:
        weight_map = {name: file for file, inside in shards.items() for name in inside}
        index = mistral / "consolidated.safetensors.index.json"
        index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
        save_file({}, mistral / "consolidated-00009-of-00009.safetensors")
    assert weight_names(mistral) == [*shards]
    assert torch.equal(logits_of(mistral), logits_of(checkpoint("mixtral")))


def stacked(tensors):
    """As the first release of Mixtral-8x7B had its experts: one above another, and w2 transposed."""
    found = {}
    for name in [*tensors]:
        if match := re.fullmatch(r"(layers\.\d+)\.feed_forward\.experts\.(\d+)\.(w[123])\.weight", name):
            tensor = tensors.pop(name)
            stack = found.setdefault(f"{match[1]}.block_sparse_moe.{match[3]}", {})
            stack[int(match[2])] = tensor.T if match[3] == "w2" else tensor
        elif "feed_forward.gate" in name:
            tensors[name.replace("feed_forward", "block_sparse_moe")] = tensors.pop(name)
    tensors |= {name: torch.cat([stack[e] for e in sorted(stack)]) for name, stack in found.items()}


@pytest.mark.parametrize("size", [1, 2])
def test_stacked_experts(size, mistral, checkpoint):
    file = mistral / "consolidated.safetensors"
    tensors = load_file(file)
    stacked(tensors)
    assert tensors["layers.0.block_sparse_moe.w2"].shape == (8 * 48, 32)
    save_file(tensors, file)
    tp = TensorParallel(size - 1, size)
    ours, theirs = (
        load_transformer(f, torch.float32, tp=tp).state_dict() for f in (mistral, checkpoint("mixtral"))
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    tensors["layers.1.block_sparse_moe.w1"] = torch.zeros(8 * 48 + 1, 32)
    save_file(tensors, file)
    refused(
        mistral, ValueError, r"layers\.1\.block_sparse_moe\.experts\.0\.w1\.weight: .*the file \[385, 32\]"
    )


def test_of_both_formats_hf_s_is_read(mistral, checkpoint, folder):
    """Whatever stands in the other."""
    save_file({"norm.weight": torch.zeros(3)}, folder / "consolidated.safetensors")
    (folder / "params.json").write_text("{}")
    assert weight_names(folder) == ["model.safetensors"]
    assert torch.equal(logits_of(folder), logits_of(checkpoint("mixtral")))


def spoilt(mistral, change):
    file = mistral / "consolidated.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


def test_what_is_missing_or_unexpected_is_named(mistral):
    def change(tensors):
        del tensors["layers.2.attention.wk.weight"]
        tensors["layers.0.attention.q_norm.weight"] = torch.zeros(1)

    spoilt(mistral, change)
    message = r"missing model\.layers\.2\.self_attn\.k_proj\.weight; unexpected layers\.0\.attention\.q_norm"
    refused(mistral, ValueError, message)


@pytest.mark.parametrize("name", ["layers.0.attention.wq.weight", "tok_embeddings.weight"])
def test_wrong_shapes_are_named(name, mistral):
    spoilt(mistral, lambda tensors: tensors.update({name: tensors[name][:-1].clone()}))
    refused(mistral, ValueError, r"the configuration says shape \(\d+, 32\), the file \[\d+, 32\]")


def test_truncated_files_are_refused(mistral):
    file = mistral / "consolidated.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    refused(mistral, ValueError, r"consolidated\.safetensors: not a safetensors file")


def test_params_without_weights_are_refused(mistral):
    (mistral / "consolidated.safetensors").rename(mistral / "consolidated.00.pth")
    message = r"no consolidated\*\.safetensors; .*consolidated\.00\.pth cannot be used.*jobs convert"
    refused(mistral, FileNotFoundError, message)


def test_a_config_beside_mistral_s_weights_alone_is_refused(mistral, checkpoint):
    (mistral / "config.json").write_text((checkpoint("mixtral") / "config.json").read_text())
    refused(
        mistral,
        FileNotFoundError,
        r"config\.json, but no model\*\.safetensors; consolidated\.safetensors is in",
    )


def test_names_of_neither_format_stay_as_they_are(mistral, tmp_path):
    save_file({"layers.0.other": torch.zeros(1), "vision.weight": torch.ones(2)}, tmp_path / "a.safetensors")
    file = MistralFile(open_weights(tmp_path / "a.safetensors"), ModelConfig.from_folder(mistral))
    assert sorted(file.keys()) == ["layers.0.other", "vision.weight"]
    assert file.get_tensor("vision.weight").tolist() == [1, 1]


def test_names_of_a_base_model_in_hf_s_format_are_refused(mistral):
    spoilt(mistral, lambda tensors: tensors.update({"layers.0.self_attn.q_proj.weight": torch.zeros(1)}))
    refused(mistral, ValueError, r"layers\.0\.self_attn\.q_proj\.weight: this is a name of Hugging Face's")


def test_the_check_reads_no_weights(mistral):
    assert check_checkpoint(mistral).vocab_size == 97


def test_every_name_has_its_counterpart(checkpoint):
    """The table here and the one of the sources are each other's inverse."""
    tensors = load_file(checkpoint("mixtral") / "model.safetensors")
    assert len(mistral_tensors(tensors, 8)) == len(tensors)
