"""What all commands have in common: the version, hints at misspelled words, errors of imported modules."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import jobs
from jobs.__main__ import app
from pipeline.errors import ConfigError

ROOT = Path(__file__).parents[2]
DEMO = str(ROOT / "configs/demo/job.yaml")


def test_the_version_is_told_without_what_takes_long_to_import() -> None:
    program = """
import sys
from jobs.__main__ import app
try:
    app(["--version"])
finally:
    print([name for name in ("torch", "ray", "pandas", "pydantic") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == f"mixtray {jobs.__version__}\n[]\n", done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        (["rum", DEMO], "Did you mean 'run'?"),
        (["docter", DEMO], "Did you mean 'doctor'?"),
        (["bench", "enigne"], "Did you mean 'engine'?"),
        (["run", DEMO, "--extand"], "--extend"),
        (["bench", "engine", "--treads", "2"], "--threads"),
    ],
)
def test_a_misspelled_word_is_told_with_what_was_meant(given: list[str], hint: str) -> None:
    result = CliRunner().invoke(app, given, env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert hint in result.stderr


class Refusing:
    """A module whose import ends in an error, as that of a plugin for tasks may."""

    def __getattr__(self, name: str) -> object:
        raise ConfigError("the plugin toy: no task of its own")


@pytest.mark.parametrize("command", [["run"], ["plan"], ["doctor"], ["bench", "agreement"]], ids=" ".join)
def test_what_fails_while_modules_are_imported_is_one_line(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pipeline.config.job", Refusing())
    monkeypatch.delitem(sys.modules, "benchmarks.agreement", raising=False)
    before = signal.getsignal(signal.SIGTERM)
    result = CliRunner().invoke(app, [*command, DEMO])
    assert result.exit_code == 2
    assert result.stderr == "error: the plugin toy: no task of its own\n"
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = f"{sys.executable} -m jobs schema | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "{\n", "")
