"""No template takes long or much, whatever it does: `python -m tests.template_fuzz` tries more of them."""

import re

import pytest

from tests.template_fuzz.corpus import CORPUS
from tests.template_fuzz.grammar import VALUES, Grammar
from tests.template_fuzz.judge import judge


@pytest.mark.parametrize("name", CORPUS)
def test_what_once_took_too_much_is_stopped(name: str) -> None:
    source, why = CORPUS[name]
    verdict = judge(source, VALUES)
    assert verdict.good, verdict
    assert (verdict.ended == "text") == (why is None), verdict
    assert why is None or re.search(why, verdict.message), verdict


@pytest.mark.parametrize("seed", range(40))
def test_random_templates_end_in_time_and_memory(seed: int) -> None:
    source = Grammar(seed).template()
    verdict = judge(source, VALUES)
    assert verdict.good, f"{verdict}\n{source}"
