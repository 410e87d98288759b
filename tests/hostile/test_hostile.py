"""Hostile files against the code that jobs run: exact outcomes, and never a crash or a hang."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from tests.hostile.corpus import CASES


@pytest.fixture(scope="session")
def outcomes(request: pytest.FixtureRequest) -> dict[str, dict[str, Any]]:
    """Of all selected cases, from one child process."""
    items = [getattr(item, "callspec", None) for item in request.session.items]
    names = [spec.params["name"] for spec in items if spec is not None and "name" in spec.params]
    ran = subprocess.run(
        [sys.executable, "-m", "tests.hostile.runner"],
        input="\n".join(name for name in names if name in CASES),
        stdout=subprocess.PIPE,
        text=True,
        timeout=240,
        check=True,
    )
    return {outcome["name"]: outcome for outcome in map(json.loads, ran.stdout.splitlines())}


@pytest.mark.parametrize("name", CASES)
def test_hostile_input_has_exactly_the_outcome_it_should(
    name: str, outcomes: dict[str, dict[str, Any]]
) -> None:
    case, outcome = CASES[name], outcomes[name]
    assert "crash" not in outcome, outcome["crash"]
    if case.refused is not None:
        assert re.search(case.refused, outcome.get("refused", "")), outcome
        return
    assert outcome.get("rows") == case.rows, outcome.get("refused")
    assert outcome["columns"] == case.columns
    assert outcome["types"] == {name: [type_] for name, type_ in case.types.items()}
