"""Ranges of safetensors files, beside safetensors' own reading of them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from model.checkpoint.ranged_file import DTYPES, RangedFile
from model.checkpoint.safetensors_files import open_weights
from model.checkpoint.weight_folder import LocalFile


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("ranged") / "model.safetensors"
    tensors = {name: torch.arange(60).view(3, 4, 5).to(dtype) for name, dtype in DTYPES.items()}
    tensors |= {"vector": torch.arange(7.0), "scalar": torch.tensor(3.5), "empty": torch.empty(0, 4)}
    save_file(tensors, path, metadata={"format": "pt"})
    return path


def test_every_tensor_of_every_type(file):
    with RangedFile(LocalFile(file)) as ours, safe_open(file, framework="pt") as oracle:
        assert {*ours.keys()} == {*oracle.keys()}
        for name in oracle.keys():  # noqa: SIM118
            stored, expected = ours.get_slice(name), oracle.get_slice(name)
            assert (stored.get_shape(), stored.get_dtype()) == (expected.get_shape(), expected.get_dtype())
            whole = oracle.get_tensor(name)
            assert ours.get_tensor(name).dtype == whole.dtype
            assert ours.get_tensor(name).tolist() == whole.tolist()


ENDS = st.tuples(st.integers(0, 5), st.integers(0, 5)).map(sorted)


@settings(max_examples=150, deadline=None)
@given(ends=st.lists(ENDS, min_size=1, max_size=3), name=st.sampled_from(["F32", "BF16", "U8"]))
def test_any_part_of_a_tensor(file, ends, name):
    slices = tuple(slice(*pair) for pair in ends)
    with RangedFile(LocalFile(file)) as ours:
        part = ours.get_slice(name)[slices]
        assert torch.equal(part, ours.get_tensor(name)[slices])
        assert part.is_contiguous()
        assert part.untyped_storage().nbytes() == part.nbytes, "the rest of the tensor is not kept"


@pytest.mark.parametrize("columns", [slice(None), slice(1, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_go_into_memory_that_is_there(file, columns, dtype):
    target = torch.full((2, 3, 5), -1.0, dtype=dtype)[:, :, columns]
    with RangedFile(LocalFile(file)) as ours:
        stored = ours.get_slice("F32")
        bounds = [slice(1, 2), slice(1, 4), slice(*columns.indices(5)[:2])]
        rows = stored.rows(bounds)
        rows.read_into(target[0], 0, 3)
        assert torch.equal(target[0], ours.get_tensor("F32")[1, 1:4, columns].to(dtype))
    assert (target[1] == -1).all()


def test_a_file_that_was_cut_off_since_it_was_opened(file, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(file.read_bytes())
    with open_weights(path) as ours:
        path.write_bytes(file.read_bytes()[:-200])
        last = max((ours.get_slice(name) for name in ours.keys()), key=lambda stored: stored.start)  # noqa: SIM118
        with pytest.raises(OSError, match=r"model\.safetensors: ends at byte \d+, before the tensors"):
            last[:]
    with pytest.raises(ValueError, match="not a safetensors file"):
        open_weights(path)
