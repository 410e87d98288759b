"""The same rows as one group give the same bits, whatever the engine ran before them."""

import random
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.engine import Engine
from model.requests.choice_scores import ChoiceScores
from model.requests.request import Completion, Request
from model.sampling.sampling_params import SamplingParams

GetEngine = Callable[..., Engine]


def group(seed: int, rows: int) -> list[Request]:
    """Rows of all lengths, some of them to be scored, keyed by their seed."""
    dice = random.Random(seed)
    scores = ChoiceScores.of([[3, 4, 5], [3, 4, 7], [9]])
    requests = []
    for row in range(rows):
        prompt = [dice.randrange(3, 97) for _ in range(dice.randrange(1, 40))]
        params = SamplingParams(dice.randrange(1, 12), dice.choice([0.0, 0.7, 1.3]), logprobs=True)
        readout = dice.choice([None, None, scores])
        requests.append(Request(f"{seed}#{row}", prompt, None if readout else params, readout))
    return requests


def bits(completions: list[Completion]) -> list[object]:
    said: list[object] = []
    for completion in completions:
        assert completion.routing is not None
        counts = {name: values.tolist() for name, values in vars(completion.routing).items()}
        said.append((completion.token_ids, completion.logprobs or completion.answer, counts))
    return said


@pytest.mark.parametrize("variant", ["mixtral", "window"])
def test_what_ran_before_changes_no_bit(engine: GetEngine, variant: str) -> None:
    reused = engine(variant, max_batch_rows=5, kv_cache_tokens=200)
    first = bits(reused.run(group(0, rows=24)))
    for seed in range(1, 5):
        reused.run(group(seed, rows=seed * 7))
        assert bits(reused.run(group(0, rows=24))) == first


def test_companions_do_change_bits(
    checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the test above would show nothing. Torch computes, since our kernels take each row alone."""
    monkeypatch.setattr("model.kernels.compiled_kernels.load", lambda _: False)
    monkeypatch.setattr("model.attention.decode_cpu.load", lambda _: False)
    options: dict[str, Any] = {"max_batch_rows": 5, "kv_cache_tokens": 200, "threads": 1}
    with closing(Engine.load(checkpoint("mixtral"), **options)) as reused:
        first = reused.run(group(0, rows=24))
        reused.run(group(1, rows=7))
        assert bits(reused.run(group(0, rows=24))) == bits(first)
        alone = [reused.run([request])[0] for request in group(0, rows=24)]
    assert bits(alone) != bits(first)
    assert [c.token_ids for c in alone] == [c.token_ids for c in first]
    for a, b in zip(alone, first, strict=True):
        assert np.allclose(a.logprobs or a.answer, b.logprobs or b.answer, atol=1e-4)
