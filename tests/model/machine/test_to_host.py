import torch

from model.machine.to_host import to_host


def test_tensors_of_all_types_and_shapes_come_together():
    given = {
        "tokens": torch.tensor([3, 1 << 40]),
        "flags": torch.tensor([[True], [False]]),
        "none": torch.zeros(0, 2),
        "numbers": torch.tensor([[0.5, float("nan")]], dtype=torch.float32),
    }
    found = to_host(given)
    assert {name: x.shape for name, x in found.items()} == {name: x.shape for name, x in given.items()}
    for name, x in given.items():
        torch.testing.assert_close(found[name], x.double(), atol=0, rtol=0, equal_nan=True)


def test_of_nothing():
    assert to_host({}) == {}
