import torch

from model.kernels.weighted_sum import weighted_sum
from tests.model.kernels.same import drawn


def test_outputs_are_read_where_they_are():
    outputs, places = drawn(6, 4), torch.tensor([[5, 0], [1, 4], [3, 2]])
    weights = torch.tensor([[0.75, 0.25], [0.5, 0.5], [1.0, 0.0]])
    expected = [0.75 * outputs[5] + 0.25 * outputs[0], (outputs[1] + outputs[4]) / 2, outputs[3]]
    torch.testing.assert_close(weighted_sum(outputs, places, weights), torch.stack(expected))


def test_sixteen_bits_are_added_in_thirty_two():
    """256 + 1 is 256 in bfloat16, twice; their sum is not."""
    outputs = torch.tensor([[256.0], [1.0], [1.0]], dtype=torch.bfloat16)
    assert weighted_sum(outputs, torch.tensor([[0, 1, 2]]), torch.ones(1, 3)).item() == 258
