"""A peer without its package is left out, and told so before the measuring; one that fails loses nothing."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import benchmarks.engine
from benchmarks.contender import Result, Task
from benchmarks.random_checkpoint import write_checkpoint
from jobs.__main__ import app

HF = "hf static 16, hf static 32, hf static 64, hf continuous"
LLAMA = "llama.cpp 16, llama.cpp 32, llama.cpp 64"


@pytest.fixture
def bench(tmp_path: Path) -> list[str]:
    """The command and its options, on a checkpoint of some kilobytes."""
    write_checkpoint(tmp_path, "tiny")
    arguments = ["--checkpoint", tmp_path, "--rows", 2, "--workload", "uniform", "--threads", 1]
    return ["bench", "engine", *map(str, arguments), "--output", str(tmp_path / "report.json")]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Whoever is measured; nothing is run."""
    names: list[str] = []

    def measure(task: Task) -> Result:
        names.append(task.contender)
        return result(task)

    monkeypatch.setattr(benchmarks.engine, "measure", measure)
    return names


def result(task: Task) -> Result:
    return Result(task.contender, 1.0, 1.0, 1.0, 1, [[1]], None, None)


def without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    for package in packages:
        monkeypatch.setitem(sys.modules, package, None)
        assert importlib.util.find_spec(package) is None


def test_without_transformers_the_rest_is_measured_and_both_say_so(
    bench: list[str], measured: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without(monkeypatch, "transformers")
    done = CliRunner().invoke(app, [*bench, "--repeats", "2"])
    sentence = f"{HF} left out: transformers is not installed (pip install -e '.[bench]')"
    assert done.exit_code == 0, done.output
    assert measured == ["mixtray", "mixtray int8"] * 2
    assert sentence in done.stderr
    assert sentence in done.stdout
    assert json.loads((tmp_path / "report.json").read_text())["workloads"]["uniform"]["left_out"] == [
        sentence
    ]


def test_who_is_left_out_is_told_before_the_first_measurement(
    measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "transformers")
    told: list[list[str]] = []
    benchmarks.engine.bench_engine(
        ["uniform"], size="tiny", rows=2, repeats=1, tell=lambda _: told.append([*measured])
    )
    assert told == [[]]
    assert measured


def test_llama_cpp_needs_two_packages(
    bench: list[str], measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "gguf", "psutil", "transformers")
    done = CliRunner().invoke(app, [*bench, "--repeats", "1", "--llama-server", sys.executable])
    assert done.exit_code == 0, done.output
    assert f"{LLAMA} left out: gguf and psutil are not installed" in done.stdout
    assert measured == ["mixtray", "mixtray int8"]


def test_nobody_left_is_an_error_before_anything_is_measured(
    bench: list[str], measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "transformers")
    done = CliRunner().invoke(app, [*bench, "--only", "continuous"], env={"COLUMNS": "250"})
    assert done.exit_code == 2
    assert "no contender of uniform is left: hf continuous left out: transformers is not" in done.output
    assert not measured


def test_several_contenders_may_be_named(bench: list[str], measured: list[str]) -> None:
    done = CliRunner().invoke(app, [*bench, "--repeats", "1", "--only", "static 32", "--only", "int8"])
    assert done.exit_code == 0, done.output
    assert measured == ["mixtray int8", "hf static 32"]


def test_with_all_packages_nobody_is_left_out(bench: list[str], measured: list[str]) -> None:
    done = CliRunner().invoke(app, [*bench, "--repeats", "1"])
    assert done.exit_code == 0, done.output
    assert "left out" not in done.output
    assert measured[2:] == HF.split(", ")


def test_all_are_asked_for_the_same_number_type(bench: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    tasks: list[Task] = []

    def measure(task: Task) -> Result:
        tasks.append(task)
        return result(task)

    monkeypatch.setattr(benchmarks.engine, "measure", measure)
    peers = ["--vllm", sys.executable, "--llama-server", sys.executable, "--dtype", "bfloat16"]
    done = CliRunner().invoke(app, [*bench, "--repeats", "1", *peers])
    assert done.exit_code == 0, done.output
    assert [task.contender for task in tasks][-4:] == [*LLAMA.split(", "), "vllm"]
    assert {(task.dtype, task.vllm) for task in tasks} == {("bfloat16", sys.executable)}
    assert CliRunner().invoke(app, [*bench, "--dtype", "float16"]).exit_code == 2


def test_the_long_prompt_is_ours_alone(measured: list[str]) -> None:
    benchmarks.engine.bench_engine(["long"], size="tiny", rows=2, repeats=1)
    assert measured == ["mixtray", "mixtray int8"]
    with pytest.raises(ValueError, match="vLLM is a contender"):
        benchmarks.engine.bench_engine(["long"], size="tiny", rows=2, vllm=Path(sys.executable))


def test_a_contender_that_fails_loses_no_measurement(
    bench: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One fails at once, one in its second round; the others go on."""
    rounds: list[str] = []

    def measure(task: Task) -> Result:
        rounds.append(task.contender)
        if task.contender == "hf static 16" or rounds.count("hf continuous") == 2:
            raise RuntimeError("benchmarks.run_contender {...}: a traceback\nImportError: too old")
        return result(task)

    monkeypatch.setattr(benchmarks.engine, "measure", measure)
    done = CliRunner().invoke(app, [*bench, "--repeats", "3"], env={"COLUMNS": "200"})
    assert done.exit_code == 1
    assert "hf static 16 failed: ImportError: too old" in done.stdout
    assert "hf continuous failed: ImportError: too old" in done.stdout
    assert {name: rounds.count(name) for name in rounds} == {
        "mixtray": 3,
        "mixtray int8": 3,
        "hf static 16": 1,
        "hf static 32": 3,
        "hf static 64": 1,
        "hf continuous": 2,
    }
    report = json.loads((tmp_path / "report.json").read_text())["workloads"]["uniform"]
    assert list(report["contenders"]) == [
        "mixtray",
        "mixtray int8",
        "hf static 32",
        "hf static 64",
        "hf continuous",
    ]
    assert len(report["contenders"]["hf continuous"]["all_seconds"]) == 1


def test_what_was_measured_is_shown_when_the_bench_is_stopped(
    bench: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(task: Task) -> Result:
        if task.contender != "mixtray":
            raise KeyboardInterrupt
        return result(task)

    monkeypatch.setattr(benchmarks.engine, "measure", measure)
    done = CliRunner().invoke(app, bench)
    assert done.exit_code != 0
    assert "uniform: 2 rows" in done.stdout
    assert "\n mixtray  " in done.stdout
