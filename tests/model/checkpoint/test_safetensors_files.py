"""Which files of a checkpoint are read, and what else is refused. Loading and checking must say the same."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from model.checkpoint.safetensors_files import (
    config_files,
    is_mistral_format,
    open_weights,
    weight_files,
    weight_names,
)
from tests.model.checkpoint.refusal import PROMPT, logits_of, refused


@pytest.mark.parametrize("kept", [0, 4, 100, 2000, -1])
def test_truncated_files(kept, folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    refused(folder, ValueError, r"model\.safetensors: not a safetensors file")


def test_pickles_are_not_read(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    (folder / "consolidated.00.pth").write_bytes(b"")
    refused(
        folder,
        FileNotFoundError,
        r"no model\*\.safetensors; only safetensors weights are read "
        r"\(consolidated\.00\.pth, pytorch_model\.bin cannot be used: loading them could run code; "
        r"`python -m jobs convert` writes them as safetensors\)$",
    )


def test_weights_under_names_of_no_known_format(folder):
    (folder / "model.safetensors").rename(folder / "output-00001-of-00001.safetensors")
    what = r"\(output-00001-of-00001\.safetensors is no name that Hugging Face's format has\)$"
    refused(folder, FileNotFoundError, rf"only safetensors weights are read {what}")


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


@pytest.mark.parametrize("weight_map", [None, [], {}, "a", {"a": ["b"]}, {"a": 1, "b": "c"}], ids=str)
def test_an_index_without_files(weight_map, folder):
    index(folder, json.dumps({"weight_map": weight_map}))
    refused(folder, ValueError, r"index\.json: not an index of safetensors files")


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000], ids=lambda text: text[:5])
def test_an_index_that_is_none(text, folder):
    index(folder, text)
    refused(folder, ValueError, r"index\.json: not an index of safetensors files")


def test_a_file_is_opened_without_reading_its_tensors(folder):
    [file] = weight_files(folder)
    with open_weights(file) as opened:
        assert opened.get_slice("model.norm.weight").get_shape() == [32]


def test_an_index_orders_its_files_and_names_each_once(folder):
    (folder / "model.safetensors").unlink()
    for name in ("b.safetensors", "a.safetensors"):
        (folder / name).write_bytes(b"")
    index(
        folder, json.dumps({"weight_map": {"x": "b.safetensors", "y": "a.safetensors", "z": "b.safetensors"}})
    )
    assert [file.name for file in weight_files(folder)] == ["a.safetensors", "b.safetensors"]


def spoiled(source, target):
    """A copy of a weights file in which every number is doubled."""
    tensors = {name: 2 * tensor for name, tensor in load_file(source).items()}
    save_file(tensors, target, metadata={"format": "pt"})


def test_the_index_decides_over_variants_and_other_shards(oracle, tmp_path):
    oracle("mixtral").model.save_pretrained(tmp_path, max_shard_size="30KB")
    expected = [file.name for file in weight_files(tmp_path)]
    for name in ("model.fp16.safetensors", "model-00001-of-00002.safetensors", "consolidated.safetensors"):
        spoiled(tmp_path / expected[0], tmp_path / name)
    assert weight_names(tmp_path) == expected
    torch.testing.assert_close(logits_of(tmp_path), oracle("mixtral").logits(PROMPT), atol=1e-4, rtol=0)


def test_without_an_index_a_variant_is_read_only_where_there_is_nothing_else(folder):
    spoiled(folder / "model.safetensors", folder / "model.fp16.safetensors")
    assert weight_names(folder) == ["model.safetensors"]
    theirs = AutoModelForCausalLM.from_pretrained(folder)(torch.tensor([PROMPT])).logits[0].detach()
    torch.testing.assert_close(logits_of(folder), theirs, atol=1e-4, rtol=0)
    (folder / "model.safetensors").rename(folder / "model.bf16.safetensors")
    assert weight_names(folder) == ["model.bf16.safetensors", "model.fp16.safetensors"]
    refused(folder, ValueError, "stands in two of the checkpoint's files")


def test_overlapping_shards_without_an_index_are_refused(folder):
    shutil.copy(folder / "model.safetensors", folder / "model-00001-of-00001.safetensors")
    refused(folder, ValueError, "stands in two of the checkpoint's files, so neither can be trusted")


def test_a_single_file_beside_an_index_of_others_is_refused(folder):
    """Transformers would read the single file, vLLM the index."""
    shutil.copy(folder / "model.safetensors", folder / "model-00001-of-00001.safetensors")
    index(folder, json.dumps({"weight_map": {"a": "model-00001-of-00001.safetensors"}}))
    message = (
        r"model\.safetensors lies beside model\.safetensors\.index\.json, which names other files "
        r"\(model-00001-of-00001\.safetensors\)"
    )
    refused(folder, ValueError, message)
    index(folder, json.dumps({"weight_map": {"a": "model.safetensors"}}))
    assert weight_names(folder) == ["model.safetensors"]


def test_which_files_say_what_the_weights_are(folder):
    for name in ("params.json", "consolidated.safetensors.index.json"):
        (folder / name).write_text("{}")
    assert config_files(folder) == ["config.json", "generation_config.json"]
    assert not is_mistral_format(folder)
    (folder / "config.json").unlink()
    assert config_files(folder) == ["params.json", "consolidated.safetensors.index.json"]
    assert is_mistral_format(folder)


def test_the_decision_needs_no_weights(folder):
    """Where a checkpoint is fetched, its configuration comes first."""
    (folder / "model.safetensors").unlink()
    names = ["config.json", "model.safetensors", "consolidated.safetensors", "pytorch_model.bin", "a.png"]
    assert weight_names(folder, names) == ["model.safetensors"]
    index(folder, json.dumps({"weight_map": {"a": "model-2.safetensors", "b": "model-1.safetensors"}}))
    names = ["config.json", "model.fp16.safetensors", "model-1.safetensors", "model-2.safetensors"]
    assert weight_names(folder, names) == ["model-1.safetensors", "model-2.safetensors"]
    with pytest.raises(FileNotFoundError, match=r"model-2\.safetensors: named in the index, but missing"):
        weight_names(folder, names[:-1])
