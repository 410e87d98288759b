"""What whole steps ask of a GPU: nothing mixes devices, captured steps never wait, and no step asks for more.

The bounds are what steps ask for today. They may only fall: a change that raises one makes every step slower.
Beside its other work, an operator costs a GPU about two microseconds and the host about ten; a wait costs all
that the host could have done meanwhile.
"""

from collections.abc import Callable

import pytest
import torch

from model.engine import Engine
from tests.gpu_without_gpu.pretended_device import DEVICE, ListsAreCopied, PretendedDevice
from tests.gpu_without_gpu.steps import (
    Asked,
    asked,
    decode,
    decode_beside_a_prompt,
    end,
    label,
    sample,
    sample_behind_a_prefix,
)

pytest.importorskip("triton", reason="there are no wheels of it for this machine")

HOST = torch.tensor([0, 2, 1])
# The key's second part: whether the GPU multiplies all experts at once, as compute capabilities 9 and 10 do.
# Elsewhere one expert follows another, nothing is captured, and each layer waits for its experts' sizes.
BOUNDS: dict[tuple[Callable[[Engine], None], bool], Asked] = {
    (decode, True): Asked(14, 73, waits_a_layer=0, waits_beside=1, asynchronous_copies=1),
    (decode, False): Asked(40, 66, waits_a_layer=1, waits_beside=1, asynchronous_copies=1),
    (decode_beside_a_prompt, True): Asked(17, 66, waits_a_layer=0, waits_beside=1, asynchronous_copies=1),
    (decode_beside_a_prompt, False): Asked(39, 66, waits_a_layer=1, waits_beside=1, asynchronous_copies=1),
    (sample, True): Asked(14, 103, waits_a_layer=0, waits_beside=1, asynchronous_copies=2),
    (sample_behind_a_prefix, True): Asked(14, 122, waits_a_layer=0, waits_beside=2, asynchronous_copies=2),
    (end, True): Asked(14, 76, waits_a_layer=0, waits_beside=2, asynchronous_copies=2),
    (label, True): Asked(66, 88, waits_a_layer=0, waits_beside=2, asynchronous_copies=2),
}


@pytest.mark.parametrize(("prepare", "grouped"), BOUNDS, ids=lambda value: getattr(value, "__name__", None))
def test_a_step_asks_for_no_more_than_it_did(prepare: Callable[[Engine], None], grouped: bool) -> None:
    """Its devices are never mixed either: the pretended device raises where they are."""
    bound, found = BOUNDS[prepare, grouped], asked(prepare, grouped)
    for name, most in vars(bound).items():
        assert getattr(found, name) <= most, f"{name}: bounds may only fall"


def test_a_captured_step_waits_for_its_tokens_alone() -> None:
    """One copy to the device, which is not waited for; then the tokens, and whether the logits are finite."""
    found = asked(decode, True)
    assert (found.asynchronous_copies, found.waits_a_layer, found.waits_beside) == (1, 0, 1)


@pytest.mark.parametrize(
    ("work", "complaint"),
    [
        (lambda x: x + HOST, "mixes devices"),
        (lambda x: x.sum().item(), "waits for a result"),
        (lambda x: x.tolist(), "waits for a result"),
        (lambda x: x[x > 0], "waits for how many a mask chooses"),
        (lambda x: HOST.to(DEVICE), "waits for a copy to the device"),
        (lambda x: x[HOST], "waits for a copy to the device"),
        (lambda x: x[[0, 2]], "on the host"),
        (lambda x: torch.tensor([1.0], device=DEVICE), "on the host"),
        (lambda x: x.bincount(minlength=4), "waits for the least number"),
        (lambda x: x.copy_(HOST, non_blocking=True), "copies to the device"),
        (lambda x: torch.arange(3).add(1), "on the host"),
    ],
)
def test_a_step_that_no_graph_could_replay_is_noticed(
    work: Callable[[torch.Tensor], object], complaint: str
) -> None:
    device = PretendedDevice()
    with device, ListsAreCopied():
        x = torch.empty(3, device=DEVICE, dtype=torch.int64)
        with device.capture(), pytest.raises(AssertionError, match=complaint):
            work(x)


def test_what_numbers_alone_could_tell_is_not_made_up() -> None:
    with PretendedDevice(), pytest.raises(NotImplementedError, match="nonzero"):
        torch.empty(3, device=DEVICE).nonzero()
