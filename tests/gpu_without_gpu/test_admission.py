"""How many rows run together, and how many of their steps are captured, where more rows wait than run.

The cache is what Mixtral-8x7B in bfloat16 leaves of an H200, or a quarter of it. The bounds may only rise.
"""

from statistics import mean

import pytest

from tests.gpu_without_gpu.scheduled_rows import Step, lengths, run

H200_TOKENS = 360_000
PROMPTS, ANSWERS = (220, 0.8, 2048), (105, 0.8, 1024)  # median, sigma, most: 300 and 140 tokens on average


def settled(steps: list[Step]) -> list[Step]:
    """The steps while rows wait, without the first third, in which the slots fill up."""
    busy = [step for step in steps if step.waiting]
    return busy[len(busy) // 3 :]


@pytest.mark.parametrize(
    ("limit", "rows", "filled"),
    [
        pytest.param(None, 206, 0.98, id="as long as the answer"),
        pytest.param(1024, 207, 0.987, id="1024"),
        pytest.param(4096, 207, 0.987, id="4096"),
    ],
)
def test_rows_that_run_by_max_new_tokens(limit: int | None, rows: int, filled: float) -> None:
    """A generous limit costs nothing: rows are admitted by how long answers have been."""
    prompts, answers = lengths(*PROMPTS, count=500), lengths(*ANSWERS, count=500)
    limits = [limit or answer for answer in answers]
    all_steps = run(prompts, answers, limits=limits, slots=256, cache_tokens=H200_TOKENS // 4)
    assert sum(step.prefilled for step in all_steps) <= 1.01 * sum(prompts), "few rows compute tokens again"
    steps = settled(all_steps)
    assert mean(step.decoding for step in steps) >= rows, "bounds may only rise"
    assert mean(step.filled for step in steps) >= filled, "bounds may only rise"


@pytest.mark.parametrize(
    ("prompts", "answers", "count", "captured"),
    [
        pytest.param((96, 0.6, 384), (48, 0.8, 256), 1500, 0.033, id="short answers"),
        pytest.param(PROMPTS, ANSWERS, 1500, 0.10, id="answers of 140 tokens"),
        pytest.param(PROMPTS, (450, 0.75, 4096), 800, 0.63, id="answers of 600 tokens"),
    ],
)
def test_steps_that_are_captured(
    prompts: tuple[float, float, int], answers: tuple[float, float, int], count: int, captured: float
) -> None:
    """A step that computes of a prompt runs operator by operator, with all the rows that decode beside it.

    Prompts of more tokens than go beside many decoding rows take several such steps.
    """
    drawn = lengths(*answers, count=count)
    limits = [int(1.25 * answer) + 8 for answer in drawn]
    all_steps = run(lengths(*prompts, count=count), drawn, limits=limits, slots=256, cache_tokens=H200_TOKENS)
    steps = settled(all_steps)
    assert mean(not step.prefilled for step in steps) >= captured, "bounds may only rise"


def test_every_row_comes_to_its_end() -> None:
    prompts, answers = [100] * 30, [*range(1, 31)]
    steps = run(prompts, answers, limits=[40] * 30, slots=4, cache_tokens=40 * 64)
    assert sum(step.prefilled for step in steps) == sum(prompts)
    # The first token of each answer comes from prefill.
    assert sum(step.decoding for step in steps) == sum(answers) - len(answers)
    assert max(step.decoding for step in steps) == 4
