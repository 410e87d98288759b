"""Steps of the engine on a pretended device, and what each asks of the device."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from model.engine import Engine
from model.requests.choice_scores import ChoiceScores
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams
from tests.gpu_without_gpu.pretended_device import PretendedDevice
from tests.gpu_without_gpu.pretended_engine import pretended_engine

ROWS = 50
_FEW, _MANY = 1, 4  # numbers of layers: their difference tells what a layer asks for
_INSTRUCTION = [7] * 64  # a page


@dataclass(frozen=True)
class Asked:
    """What a step asks of the device, for each layer and for all else that it does."""

    operators_a_layer: int
    operators_beside: int
    waits_a_layer: int
    waits_beside: int
    asynchronous_copies: int


def decode(engine: Engine) -> None:
    """All rows decode: the step is captured where the GPU can multiply all experts at once."""
    _submit(engine, SamplingParams(ignore_eos=True, max_new_tokens=40))
    _until_all_decode(engine)


def decode_beside_a_prompt(engine: Engine) -> None:
    decode(engine)
    engine.submit(Request("prompt", [5] * 700, SamplingParams(ignore_eos=True)))


def sample(engine: Engine) -> None:
    """Of all tokens, whose order matters to nobody."""
    _submit(engine, SamplingParams(ignore_eos=True, max_new_tokens=40, temperature=0.7))
    _until_all_decode(engine)


def end(engine: Engine) -> None:
    """Rows decode their last token, and the router's counts of them leave the device."""
    _submit(engine, SamplingParams(ignore_eos=True, max_new_tokens=3))
    _until_all_decode(engine)


def sample_behind_a_prefix(engine: Engine) -> None:
    _submit(engine, SamplingParams(ignore_eos=True, max_new_tokens=40, temperature=0.7, top_p=0.9))
    _until_all_decode(engine)


def label(engine: Engine) -> None:
    """Behind a shared prefix, five choices of one to three tokens."""
    scores = ChoiceScores.of([[11], [12, 13], [12, 14, 15], [16], [17, 18]])
    for i in range(ROWS):
        engine.submit(Request(str(i), _INSTRUCTION + [5] * 60, readout=scores))


@cache
def asked(prepare: Callable[[Engine], None], grouped: bool) -> Asked:
    """What the engine's next step after `prepare` asks of the device."""
    few, many = _step(prepare, grouped, _FEW), _step(prepare, grouped, _MANY)

    def split(one: Counter[str], other: Counter[str]) -> tuple[int, int]:
        a_layer, rest = divmod(other.total() - one.total(), _MANY - _FEW)
        assert rest == 0, "all layers do the same"
        return a_layer, one.total() - _FEW * a_layer

    return Asked(
        *split(few.operators, many.operators),
        *split(few.waits, many.waits),
        many.asynchronous_copies.total(),
    )


def _step(prepare: Callable[[Engine], None], grouped: bool, layers: int) -> PretendedDevice:
    device = PretendedDevice()
    with pretended_engine(device, layers, grouped=grouped) as engine:
        prepare(engine)
        device.clear()
        engine.step()
    return device


def _submit(engine: Engine, params: SamplingParams) -> None:
    for i in range(ROWS):
        engine.submit(Request(str(i), _INSTRUCTION + [5] * 20, params))


def _until_all_decode(engine: Engine) -> None:
    while engine.scheduler.waiting:
        engine.step()
    engine.step()  # the first step of its size is captured
