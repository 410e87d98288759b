"""Files as the safetensors library writes them, tensor by tensor."""

import hashlib

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from model.checkpoint.write_safetensors import Planned, file_size, write_safetensors

TENSORS = {
    "a": torch.randn(3, 5),
    "b": torch.randn(2, 3, 4).bfloat16(),
    "transposed": torch.randn(6, 7).half().T,
    "vector": torch.randn(9),
    "empty": torch.zeros(0, 4),
}
NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}


def planned(name, tensor, read=None):
    return Planned(name, NAMES[tensor.dtype], tuple(tensor.shape), read or (lambda: tensor))


def test_the_library_reads_what_was_written(tmp_path):
    file, told = tmp_path / "model.safetensors", []
    plan = [planned(name, tensor) for name, tensor in TENSORS.items()]
    sha256 = write_safetensors(file, plan, told.append)
    assert sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    found = load_file(file)
    assert [*found] == [*TENSORS] or found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in TENSORS.items())
    assert all(found[name].dtype == tensor.dtype for name, tensor in TENSORS.items())
    with safe_open(file, framework="pt") as opened:
        assert opened.metadata() == {"format": "pt"}
    assert file.stat().st_size == file_size(plan)
    assert sum(told) == sum(tensor.nbytes for tensor in TENSORS.values())


def test_a_tensor_is_read_when_it_is_written(tmp_path):
    """Not all of them before."""
    seen = []

    def reading(name, tensor):
        return lambda: seen.append(name) or tensor

    plan = [planned(name, tensor, reading(name, tensor)) for name, tensor in TENSORS.items()]
    write_safetensors(tmp_path / "w", plan, lambda size: seen.append(size))
    assert seen[::2] == [*TENSORS]


def test_a_file_is_there_once_it_is_whole(tmp_path):
    def broken():
        raise OSError("the disk is gone")

    plan = [planned("a", TENSORS["a"]), planned("b", TENSORS["b"], broken)]
    with pytest.raises(OSError, match="the disk is gone"):
        write_safetensors(tmp_path / "w", plan)
    assert not (tmp_path / "w").exists()
    plan[1] = planned("b", TENSORS["b"])
    write_safetensors(tmp_path / "w", plan)
    assert [entry.name for entry in tmp_path.iterdir()] == ["w"]
