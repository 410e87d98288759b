"""Which files of a checkpoint are read, and what else is refused. Loading and checking must say the same."""

import json

import pytest

from model.checkpoint.safetensors_files import open_weights, weight_files
from tests.model.checkpoint.refusal import refused


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


def test_a_file_is_opened_without_reading_its_tensors(folder):
    [file] = weight_files(folder)
    with open_weights(file) as opened:
        assert opened.get_slice("model.norm.weight").get_shape() == [32]


def test_an_index_orders_its_files_and_names_each_once(folder):
    for name in ("b.safetensors", "a.safetensors"):
        (folder / name).write_bytes(b"")
    index(
        folder, json.dumps({"weight_map": {"x": "b.safetensors", "y": "a.safetensors", "z": "b.safetensors"}})
    )
    assert [file.name for file in weight_files(folder)] == ["a.safetensors", "b.safetensors"]
