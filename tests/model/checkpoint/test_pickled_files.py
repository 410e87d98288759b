"""Pickles: tensors are taken from them and nothing else, mapped and not read."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from model.checkpoint.load import load_transformer, load_weights, uninitialised
from model.checkpoint.pickled_files import PickledFile, open_pickle, pickled_names
from model.config import ModelConfig
from tests.model.checkpoint.mistral_format import mistral_tensors


def test_hf_names_and_mistral_s_give_the_same_weights(checkpoint, tmp_path):
    source = checkpoint("mixtral")
    config, tensors = ModelConfig.from_folder(source), load_file(source / "model.safetensors")
    models = []
    for name, saved in (("a.bin", tensors), ("consolidated.00.pth", mistral_tensors(tensors, 8))):
        torch.save(saved, tmp_path / name)
        models.append(uninitialised(config, torch.float32, "cpu"))
        load_weights(models[-1], [open_pickle(tmp_path / name, config)])
    one, other = (model.state_dict() for model in models)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(one["norm.weight"], tensors["model.norm.weight"])


def test_names_of_a_base_model_are_hf_s(checkpoint, tmp_path):
    source = checkpoint("mixtral")
    config, tensors = ModelConfig.from_folder(source), load_file(source / "model.safetensors")
    torch.save({name.removeprefix("model."): tensor for name, tensor in tensors.items()}, tmp_path / "a.bin")
    model = uninitialised(config, torch.float32, "cpu")
    load_weights(model, [open_pickle(tmp_path / "a.bin", config)])
    theirs = load_transformer(source, torch.float32).state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in model.state_dict().items())


def test_which_files_are_pickled_weights(tmp_path):
    with pytest.raises(FileNotFoundError, match="no pickled weights"):
        pickled_names(tmp_path)
    for name in ("consolidated.01.pt", "consolidated.00.pt", "training_args.bin", "optimizer.pt"):
        (tmp_path / name).touch()
    assert pickled_names(tmp_path) == ["consolidated.00.pt", "consolidated.01.pt"]
    (tmp_path / "consolidated.00.pth").touch()
    assert pickled_names(tmp_path) == ["consolidated.00.pth"]
    for name in ("pytorch_model-00002-of-00002.bin", "pytorch_model-00001-of-00002.bin"):
        (tmp_path / name).touch()
    assert pickled_names(tmp_path) == ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]


class Code:
    def __reduce__(self):
        return os.mkdir, ("was-run",)


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_code_is_never_run(protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.bin").write_bytes(pickle.dumps({"a": Code()}, protocol))
    torch.save({"a": torch.ones(1), "b": Code()}, tmp_path / "zipped.bin")
    for name in ("plain.bin", "zipped.bin"):
        with pytest.raises(ValueError, match="cannot be read without running code, or is damaged"):
            PickledFile(tmp_path / name)
    assert not Path("was-run").exists()


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"PK\x03\x04" + bytes(50)], ids=len)
def test_damaged_files_are_refused(content, tmp_path):
    (tmp_path / "a.bin").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.bin: cannot be read without running code, or is damaged: "):
        PickledFile(tmp_path / "a.bin")


def test_a_cut_file_is_refused(tmp_path):
    torch.save({"a": torch.ones(1000)}, tmp_path / "a.bin")
    os.truncate(tmp_path / "a.bin", 2000)
    with pytest.raises(ValueError, match="or is damaged"):
        PickledFile(tmp_path / "a.bin")


@pytest.mark.parametrize(
    "held", [[torch.ones(1)], {"a": 1}, {"model": {"a": torch.ones(1)}}, {1: torch.ones(1)}]
)
def test_anything_but_named_tensors_is_refused(held, tmp_path):
    torch.save(held, tmp_path / "a.bin")
    with pytest.raises(ValueError, match=r"a\.bin: must hold tensors by their names and nothing else"):
        PickledFile(tmp_path / "a.bin")


def test_numbers_are_called_as_safetensors_calls_them(tmp_path):
    torch.save({"a": torch.ones(2, 3).bfloat16(), "b": torch.ones(1).long()}, tmp_path / "a.bin")
    file = PickledFile(tmp_path / "a.bin")
    assert [*file.keys()] == ["a", "b"]
    stored = file.get_slice("a")
    assert (stored.get_shape(), stored.get_dtype()) == ([2, 3], "BF16")
    assert stored[:, slice(1, 2)].shape == (2, 1)
    assert file.get_slice("b").get_dtype() == "torch.int64"
    assert torch.equal(file.get_tensor("a"), torch.ones(2, 3).bfloat16())
