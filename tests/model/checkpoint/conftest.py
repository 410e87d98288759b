"""A checkpoint that a test may spoil."""

import shutil

import pytest
from safetensors.torch import load_file, save_file


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
