"""No template takes long or much, whatever it does: `python -m tests.template_fuzz` tries more of them."""

import re

import pytest

from tests.template_fuzz.corpus import CORPUS, NESTED
from tests.template_fuzz.grammar import VALUES, Grammar
from tests.template_fuzz.judge import judge


@pytest.mark.parametrize("name", NESTED)
def test_nested_values_are_paid_for_as_often_as_they_are_reached(name: str) -> None:
    source, _ = NESTED[name]
    verdict = judge(source, VALUES, steps=100_000)
    assert verdict.good, verdict
    assert "more than 100000 steps" in verdict.message


@pytest.mark.parametrize("name", [*CORPUS, *(pytest.param(name, marks=pytest.mark.slow) for name in NESTED)])
def test_what_once_took_too_much_is_stopped(name: str) -> None:
    source, why = (CORPUS | NESTED)[name]
    verdict = judge(source, VALUES)
    assert verdict.good, verdict
    assert (verdict.ended == "text") == (why is None), verdict
    assert why is None or re.search(why, verdict.message), verdict


@pytest.mark.parametrize(
    "seed", [*range(30), *(pytest.param(n, marks=pytest.mark.slow) for n in range(30, 400))]
)
def test_random_templates_end_in_time_and_memory(seed: int) -> None:
    source = Grammar(seed).template()
    verdict = judge(source, VALUES)
    assert verdict.good, f"{verdict}\n{source}"
