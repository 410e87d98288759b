import torch

from model.checkpoint.tensor_files import bounds


def test_bounds_name_every_dimension():
    shape = (4, 6, 2)
    assert bounds(slice(None), shape) == [slice(0, 4), slice(0, 6), slice(0, 2)]
    assert bounds((slice(1, 3), slice(2, None)), shape) == [slice(1, 3), slice(2, 6), slice(0, 2)]
    assert bounds((slice(None), slice(None), slice(-1, None)), shape)[2] == slice(1, 2)
    tensor = torch.arange(48).view(shape)
    assert torch.equal(tensor[tuple(bounds(slice(1, 9), shape))], tensor[1:9])
