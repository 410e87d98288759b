"""`make PYTHON=...` has an environment of its own, and pre-commit's hooks check what `make check` does."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]


def make(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """What `make` would run; nothing is run. Without what an outer `make` gives its children."""
    return subprocess.run(
        ["env", "-u", "PYTHON", "-u", "MAKEFLAGS", "-u", "MFLAGS", "make", "-n", "-B", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def programs(printed: str) -> set[str]:
    return set(re.findall(r"^(\.venv\S*?)/bin/", printed, re.MULTILINE))


def test_another_interpreter_has_an_environment_of_its_own() -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    other = make("test", f"PYTHON={sys.executable}").stdout
    assert f"{sys.executable} -m venv .venv-{version}\n" in other
    assert programs(other) == {f".venv-{version}"}
    assert f".venv-{version}/bin/python -m pytest" in other


def test_without_a_word_it_is_the_usual_one() -> None:
    assert programs(make("test").stdout) == programs(make("demo").stdout) == {".venv"}


def test_what_is_no_interpreter_is_told() -> None:
    done = make("test", "PYTHON=/nowhere/python")
    assert done.returncode == 2
    assert "PYTHON=/nowhere/python is no Python that runs here" in done.stderr


def test_hooks_are_of_the_environment_and_check_what_make_does() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks: list[dict[str, Any]] = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert {repo["repo"] for repo in config["repos"]} == {"local"}
    assert {hook["language"] for hook in hooks} == {"system"}

    def what(line: str) -> str:
        """The program and its command, without options and files: ruff's `format`, say."""
        words = shlex.split(line)
        return " ".join(word for word in words if not word.startswith("-") and word != "." and word != "auto")

    checks = [line for line in make("check").stdout.splitlines() if re.match(r"\.venv/bin/(ruff|mypy)", line)]
    assert sorted(what(hook["entry"]) for hook in hooks) == sorted(map(what, checks))
