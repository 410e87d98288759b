"""Hostile files against the code that jobs run: exact outcomes, and never a crash or a hang."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.hostile.corpus import CASES


@pytest.fixture(scope="module")
def outcome_of() -> Iterator[Callable[[str], dict[str, Any]]]:
    """Runs a case by its name, all in children of one process."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.hostile.runner"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as runner:
        assert runner.stdin is not None
        assert runner.stdout is not None
        asked, answers = runner.stdin, runner.stdout

        def run(name: str) -> dict[str, Any]:
            print(name, file=asked, flush=True)
            answer = answers.readline()
            assert answer, "the runner itself has ended"
            outcome: dict[str, Any] = json.loads(answer)
            return outcome

        yield run


@pytest.mark.parametrize("name", CASES)
def test_hostile_input_has_exactly_the_outcome_it_should(
    name: str, outcome_of: Callable[[str], dict[str, Any]]
) -> None:
    case, outcome = CASES[name], outcome_of(name)
    assert "crash" not in outcome, outcome["crash"]
    if case.refused is not None:
        assert re.search(case.refused, outcome.get("refused", "")), outcome
        return
    assert outcome.get("rows") == case.rows, outcome.get("refused")
    assert outcome["columns"] == case.columns
    assert outcome["types"] == {name: [type_] for name, type_ in case.types.items()}
