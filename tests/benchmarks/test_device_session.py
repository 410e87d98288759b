"""The session for the day when a GPU is there: rehearsed, so that none of that day goes to its faults."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.device.in_child import run_section
from benchmarks.device.plan import SECTIONS
from benchmarks.device.report import Report, markdown
from benchmarks.device.setting import Setting, Table
from benchmarks.device_session import main

ROOT = Path(__file__).parents[2]
ABSENT = [
    "ray",
    "pydantic",
    "pandas",
    "pyarrow",
    "orjson",
    "rich",
    "typer",
    "transformers",
    "sentencepiece",
    "yaml",
]
REHEARSAL = Setting(rehearsal=True)


def raises(setting: Setting) -> Table:
    print("its last words")
    raise ValueError("no such kernel")


def hangs(setting: Setting) -> Table:
    subprocess.run(["sleep", "60"])
    return []


def dies(setting: Setting) -> Table:
    os._exit(1)


def test_the_rehearsal_runs_every_section(tmp_path: Path) -> None:
    report = tmp_path / "out" / "device_session.md"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.device_session", "--rehearse"],
        cwd=ROOT,
        env=os.environ | {"OUT": str(report.parent)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + report.read_text()
    text = report.read_text()
    assert text.startswith("# Rehearsal on a CPU: no figure counts")
    for section in SECTIONS:
        assert f"## {section.name}\n\n{section.question}" in text
    assert len(re.findall(r"^\| ---", text, re.MULTILINE)) == len(SECTIONS)  # each has a table


def test_it_needs_little() -> None:
    """torch, numpy and safetensors, and pytest for the tests on a GPU: a rented machine may have no more."""
    program = f"""
import sys
sys.modules |= dict.fromkeys({ABSENT})
import benchmarks.device.plan, pytest
raise SystemExit(pytest.main(["--noconftest", "-p", "no:cacheprovider", "--collect-only", "-q", "tests/gpu"]))
"""
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_file_that_measures_is_a_section() -> None:
    files = [
        path for path in (ROOT / "benchmarks" / "device").glob("*.py") if "def measure(" in path.read_text()
    ]
    assert {section.measure.__module__.rpartition(".")[2] for section in SECTIONS} == {p.stem for p in files}
    assert len({section.name for section in SECTIONS}) == len(files)


def test_a_section_that_fails_says_why() -> None:
    outcome = run_section(raises, REHEARSAL, 30)
    assert outcome.failure is not None
    assert outcome.failure.strip().endswith("ValueError: no such kernel")
    assert outcome.output == "its last words\n"


def test_a_section_that_takes_too_long_is_ended_with_its_children() -> None:
    started = time.monotonic()
    outcome = run_section(hangs, REHEARSAL, 0.5)
    assert outcome.failure == "it took longer than its limit of 0 s"
    assert time.monotonic() - started < 30


def test_a_section_whose_process_dies_is_told() -> None:
    assert "ended without a result" in str(run_section(dies, REHEARSAL, 30).failure)


def test_sections_that_there_is_no_time_for_are_named(tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    assert main(["--minutes", "0", "--only", "tests", "--report", str(report)]) == 0
    assert "## tests\n\nLeft out: the session's 0 minutes were over." in report.read_text()


def test_a_section_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "weather"]) == 2
    assert "no section is called weather" in capsys.readouterr().err


def test_a_failure_is_in_the_report_with_its_output(tmp_path: Path) -> None:
    report = Report(tmp_path / "report.md", "Title")
    report.add("broken", "Does it work?", run_section(raises, REHEARSAL, 30))
    text = report.path.read_text()
    assert "**Failed:** ValueError: no such kernel" in text
    assert "its last words" in text


def test_numbers_in_tables_are_short() -> None:
    assert markdown([{"a": 1.23456, "b": None, "c": 12345.6}]).splitlines()[-1] == "| 1.235 |  | 12,346 |"
