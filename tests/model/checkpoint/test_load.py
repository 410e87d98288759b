import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from model.checkpoint.load import check_checkpoint, load_transformer, save_weights
from model.checkpoint.safetensors_files import weight_files
from model.scheduling.batch import left_pad

PROMPT = [5, 17, 80, 3, 96, 0, 41]


def logits_of(folder):
    return load_transformer(folder, torch.float32)(*left_pad([PROMPT]))[0]


def refused(folder, kind, message):
    """Loading and checking the headers alone must say the same."""
    with pytest.raises(kind, match=message):
        load_transformer(folder, torch.float32)
    with pytest.raises(kind, match=message):
        check_checkpoint(folder)


@pytest.fixture
def folder(checkpoint, tmp_path):
    """A copy of the mixtral variant that a test may spoil."""
    return shutil.copytree(checkpoint("mixtral"), tmp_path / "checkpoint")


@pytest.fixture
def spoil(folder):
    """Change the tensors of `folder`."""

    def rewrite(change):
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors")

    return rewrite


@pytest.mark.parametrize(
    ("variant", "options"),
    [
        ("mixtral", {"max_shard_size": "30KB"}),
        ("mixtral", {"save_original_format": False}),
        ("mixtral", {"save_original_format": False, "max_shard_size": "30KB"}),
        ("three-choices", {"save_original_format": False}),
        ("tied", {"max_shard_size": "30KB"}),
        ("dense", {"max_shard_size": "30KB"}),
    ],
    ids=str,
)
def test_every_layout_of_transformers(variant, options, oracle, tmp_path):
    oracle(variant).model.save_pretrained(tmp_path, **options)
    files = weight_files(tmp_path)
    assert (len(files) > 3) == ("max_shard_size" in options)
    fused = any("gate_up_proj" in name for file in files for name in load_file(file))
    assert fused == ("save_original_format" in options)
    torch.testing.assert_close(logits_of(tmp_path), oracle(variant).logits(PROMPT), atol=1e-4, rtol=0)
    assert check_checkpoint(tmp_path).vocab_size == 97


def test_shards_without_an_index(oracle, tmp_path):
    oracle("mixtral").model.save_pretrained(tmp_path, max_shard_size="30KB")
    (tmp_path / "model.safetensors.index.json").unlink()
    torch.testing.assert_close(logits_of(tmp_path), oracle("mixtral").logits(PROMPT), atol=1e-4, rtol=0)


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float16])
def test_half_precision_on_disk_is_computed_in_fp32(stored, folder, spoil):
    def halve(tensors):
        tensors.update({name: tensor.to(stored) for name, tensor in tensors.items()})

    spoil(halve)
    model = load_transformer(folder, torch.float32)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    expected = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)(
        torch.tensor([PROMPT])
    ).logits[0]
    torch.testing.assert_close(model(*left_pad([PROMPT]))[0], expected.detach(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("variant", ["mixtral", "tied", "dense", "wide-heads"])
def test_saved_weights_are_read_by_transformers_and_by_us(variant, checkpoint, oracle, tmp_path):
    model = load_transformer(checkpoint(variant), torch.float32)
    shutil.copy(checkpoint(variant) / "config.json", tmp_path)
    save_weights(model, tmp_path / "model.safetensors", torch.float32)
    ours, theirs = (load_file(f / "model.safetensors") for f in (tmp_path, checkpoint(variant)))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    again, loading = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    assert torch.equal(again(torch.tensor([PROMPT])).logits[0], oracle(variant).logits(PROMPT))
    assert torch.equal(logits_of(tmp_path), model(*left_pad([PROMPT]))[0])


def test_saving_in_another_precision(checkpoint, tmp_path):
    save_weights(load_transformer(checkpoint("mixtral"), torch.float32), tmp_path / "w", torch.bfloat16)
    theirs = load_file(checkpoint("mixtral") / "model.safetensors")
    ours = load_file(tmp_path / "w")
    assert all(torch.equal(ours[name], tensor.bfloat16()) for name, tensor in theirs.items())


def test_derived_or_doubled_tensors_are_passed_over(checkpoint, oracle, tmp_path):
    folder = shutil.copytree(checkpoint("tied"), tmp_path / "checkpoint")
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.zeros(4)
    save_file(tensors, folder / "model.safetensors")
    torch.testing.assert_close(logits_of(folder), oracle("tied").logits(PROMPT), atol=1e-4, rtol=0)


def test_missing_and_unexpected_names_are_listed(folder, spoil):
    def change(tensors):
        del tensors["model.layers.1.block_sparse_moe.experts.3.w2.weight"]
        del tensors["model.norm.weight"]
        for layer in range(7):
            tensors[f"model.layers.{3 + layer}.extra"] = torch.zeros(1)

    spoil(change)
    message = (
        r"missing model\.layers\.1\.block_sparse_moe\.experts\.3\.w2\.weight, model\.norm\.weight; "
        r"unexpected model\.layers\.3\.extra, .*model\.layers\.7\.extra and 2 more$"
    )
    refused(folder, ValueError, message)


def test_a_head_that_no_tied_embedding_explains_is_unexpected(checkpoint, tmp_path):
    """The other way round: without tie_word_embeddings the head must be in the file."""
    folder = shutil.copytree(checkpoint("tied"), tmp_path / "checkpoint")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
    refused(folder, ValueError, r"missing lm_head\.weight$")


@pytest.mark.parametrize(
    "name",
    ["model.embed_tokens.weight", "model.layers.2.block_sparse_moe.experts.7.w1.weight", "model.norm.weight"],
)
def test_wrong_shapes_are_named(name, folder, spoil):
    spoil(lambda tensors: tensors.update({name: tensors[name][:-1].clone()}))
    refused(folder, ValueError, rf"^{name}: the configuration says shape \(.*\), the file \[")


def test_a_transposed_weight_is_refused(folder, spoil):
    name = "model.layers.0.block_sparse_moe.experts.0.w2.weight"
    spoil(lambda tensors: tensors.update({name: tensors[name].T.contiguous()}))
    refused(folder, ValueError, r"shape \(32, 48\), the file \[48, 32\]")


def test_numbers_that_are_no_weights_are_refused(folder, spoil):
    name = "model.layers.0.self_attn.q_proj.weight"
    spoil(lambda tensors: tensors.update({name: tensors[name].to(torch.int8)}))
    refused(folder, ValueError, rf"^{name}: must be stored as F32, BF16, F16, got I8")


@pytest.mark.parametrize("kept", [0, 4, 100, 2000, -1])
def test_truncated_files(kept, folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    refused(folder, ValueError, r"model\.safetensors: not a safetensors file")


def test_pickles_are_not_read(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    (folder / "consolidated.00.pth").write_bytes(b"")
    refused(folder, FileNotFoundError, r"no model\*\.safetensors; only safetensors weights are read")


def index(folder, text):
    (folder / "model.safetensors.index.json").write_text(text)


@pytest.mark.parametrize(
    "name",
    [
        "../model.safetensors",
        "/tmp/model.safetensors",
        "a/../model.safetensors",
        "..",
        "",
        "pytorch_model.bin",
    ],
)
def test_an_index_names_safetensors_files_of_its_folder_only(name, folder):
    index(folder, json.dumps({"weight_map": {"model.norm.weight": name}}))
    refused(folder, ValueError, r"index\.json: names .*, which is not a safetensors file of this folder")


def test_an_index_that_names_a_missing_file(folder):
    index(folder, json.dumps({"weight_map": {"a": "model-00001-of-00001.safetensors"}}))
    refused(folder, FileNotFoundError, r"model-00001-of-00001\.safetensors: named in the index, but missing")


@pytest.mark.parametrize("weight_map", [None, [], "a", {"a": ["b"]}, {"a": 1, "b": "c"}], ids=str)
def test_an_index_without_files(weight_map, folder):
    index(folder, json.dumps({"weight_map": weight_map}))
    refused(folder, ValueError, r"index\.json: not an index of safetensors files")


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000], ids=lambda text: text[:5])
def test_an_index_that_is_none(text, folder):
    index(folder, text)
    refused(folder, ValueError, r"index\.json: not an index of safetensors files")
