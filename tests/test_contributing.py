"""CONTRIBUTING.md gives a reason for each dependency, and the pins are of what is depended on."""

import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def name(requirement: str) -> str:
    return re.split(r"[\[<>=!~ ]", requirement)[0].lower().replace("_", "-")


def test_every_runtime_dependency_has_its_reason() -> None:
    reasons = dict(re.findall(r"^\| (\w+) \| (.+) \|$", TEXT, re.MULTILINE))
    assert set(reasons) == {name(requirement) for requirement in PROJECT["dependencies"]}


def test_every_dependency_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {name(line) for line in lines if not line.startswith("#")}
    wanted = chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    assert {name(requirement) for requirement in wanted} - {"mixtray"} <= pinned


@pytest.mark.parametrize(
    "target", sorted(set(re.findall(r"^make ([\w-]+)|`make ([\w-]+)`", TEXT, re.MULTILINE)))
)
def test_make_targets_exist(target: tuple[str, str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{''.join(target)}:", makefile, re.MULTILINE)
