"""What the doctor finds of versions and disks; its other checks are those of a run, see tests/jobs."""

import importlib.metadata
import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.config.job import JobConfig
from pipeline.preflight.doctor import GIB, examine

DEMO = Path(__file__).parents[3] / "configs/demo/job.yaml"


def found(what: str, *overrides: str) -> list[tuple[str, str]]:
    """Level and text of the findings of one check, up to the next check's."""
    findings = []
    for finding in examine(JobConfig.load(DEMO, [*overrides])):
        if finding.what == what:
            findings.append((finding.level, finding.text))
        elif findings:
            break
    return findings


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.preflight.doctor._cluster", lambda: iter([("ok", "not looked for")]))
    monkeypatch.setattr("ray.is_initialized", lambda: False)


def test_versions_that_fit_are_one_finding() -> None:
    [(level, text)] = found("versions")
    assert level == "ok"
    assert text.startswith("Python 3.")
    for package in ("ray", "torch"):
        assert f"{package} {importlib.metadata.version(package)}" in text


def test_a_package_of_another_version_and_one_that_is_missing_are_problems(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed = importlib.metadata.version

    def version(name: str) -> str:
        if name == "jinja2":
            raise importlib.metadata.PackageNotFoundError(name)
        return "2.64.0" if name == "ray" else installed(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    problems = [text for level, text in found("versions") if level == "problem"]
    assert len(problems) == 2
    assert "jinja2>=3.1.6 is not installed: pip install -c constraints.txt ." in problems
    assert any(text.startswith("ray is 2.64.0, needed is ") and "<2.64" in text for text in problems)


def test_without_the_package_s_own_metadata_versions_are_not_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def requires(name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", requires)
    [(level, text)] = found("versions")
    assert level == "warning"
    assert "mixtray is not installed here" in text


def disks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, total: int) -> None:
    """Make the disk of the test's folder look like this, and that of Ray's files empty."""
    monkeypatch.setenv("RAY_TMPDIR", "/not/there/yet")

    def disk_usage(folder: Path) -> SimpleNamespace:
        if folder.is_relative_to(tmp_path):
            return SimpleNamespace(total=total, used=total - free, free=free)
        assert folder == Path("/")
        return SimpleNamespace(total=1000 * GIB, used=0, free=1000 * GIB)

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)


@pytest.mark.parametrize(
    ("free", "total", "level", "sentence"),
    [
        (3 * GIB, 10 * GIB, "ok", "3.0 GiB free for output ("),
        (1 * GIB, 10 * GIB, "warning", "1.0 GiB free for output ("),
        (40 * GIB, 1000 * GIB, "problem", "the disk is more than 95% full; make room"),
        (0, 0, "warning", "0.0 GiB free for output ("),  # as of /proc
    ],
)
def test_a_disk_is_judged_by_what_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, total: int, level: str, sentence: str
) -> None:
    disks(monkeypatch, tmp_path, free, total)
    (told, text), rays = found("disk", f"output.path={tmp_path / 'out'}")
    assert told == level
    assert sentence in text
    assert ("2.0 GiB would be safe; make room" in text) == (level == "warning")
    assert rays == ("ok", "1000.0 GiB free for Ray's temporary files (/not/there/yet)")


def test_room_for_the_output_is_twice_the_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "where?", "language": "en"}\n')
    os.truncate(rows, 3 * GIB // 2)
    disks(monkeypatch, tmp_path, free=5 * GIB // 2, total=10 * GIB)
    (level, text), _ = found("disk", f"input.path={rows}", f"output.path={tmp_path / 'out'}")
    assert level == "warning"
    assert "2.5 GiB free" in text
    assert "3.0 GiB would be safe" in text


def test_the_input_s_size_is_told_in_a_unit_that_fits(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"id": 1, "ticket": "where?", "language": "en"}\n')
    overrides = [f"input.path={rows}", "input.keep=[]", "label.known_column=null"]
    [small] = found("input", *overrides)
    assert small == ("ok", "1 files of 48 bytes, with all columns that the job names")
    os.truncate(rows, 3 * GIB // 2)
    [large] = found("input", *overrides)
    assert large == ("ok", "1 files of 1.5 GiB, with all columns that the job names")


def test_of_an_output_elsewhere_no_disk_here_is_judged() -> None:
    [(_, text)] = found("disk", "output.path=memory://out")
    assert "Ray's temporary files" in text


@pytest.mark.parametrize(
    ("resources", "overrides", "text"),
    [
        ({"CPU": 4}, [], "up to 4; CPU threads of each: 1; its memory: 2.0 GiB at most"),
        ({"CPU": 4, "memory": 6 * GIB}, [], "up to 2; CPU threads of each: 2; its memory: 2.0 GiB at most"),
        ({"CPU": 4}, ["engine.replicas=1"], "1; CPU threads of each: 4; its memory: 2.0 GiB at most"),
        ({"CPU": 4, "GPU": 2}, [], "up to 2; GPUs of each: 1"),
        ({"CPU": 4, "GPU": 4}, ["model.tensor_parallel=2"], "up to 2; GPUs of each: 2"),
    ],
)
def test_replicas_are_told_with_what_each_has(
    monkeypatch: pytest.MonkeyPatch, resources: dict[str, float], overrides: list[str], text: str
) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    monkeypatch.setattr("ray.nodes", lambda: [{"Alive": True, "Resources": resources}])
    told, (level, memory) = found("replicas", *overrides)
    assert told == ("ok", text)
    assert level == "ok"
    assert " at least on " in memory
    room = "the largest node has 6.0 GiB" if "memory" in resources else "what the nodes have is not known"
    assert memory.endswith("no GPU is seen here" if "GPU" in resources else room)


@pytest.mark.parametrize(("memory", "replicas"), [(2 * GIB, "auto"), (6 * GIB, "3")])
def test_replicas_that_memory_may_not_hold_are_a_warning(
    monkeypatch: pytest.MonkeyPatch, memory: int, replicas: str
) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    nodes = [{"Alive": True, "Resources": {"CPU": 4, "memory": memory}}]
    monkeypatch.setattr("ray.nodes", lambda: nodes)
    (level, text), _ = found("replicas", f"engine.replicas={replicas}")
    assert level == "warning"
    assert "2.0 GiB at most, which a node may lack: lower engine.replicas" in text


def test_without_a_cluster_replicas_are_not_known() -> None:
    assert found("replicas") == [("warning", "not known without a cluster")]


def test_memory_that_the_nodes_lack_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [{"Alive": True, "Resources": {"CPU": 4, "memory": 8 << 20, "object_store_memory": 2 << 20}}]
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    monkeypatch.setattr("ray.nodes", lambda: nodes)
    _, (level, text) = found("replicas")
    assert level == "problem"
    assert text.endswith("at least on a node in float32; the largest node has 10.0 MiB")


def test_how_the_model_will_be_computed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    [(level, text)] = found("computing")
    assert level == "ok"
    assert text.startswith("float32 on ")
    assert re.search(
        r"attention torch, decode (compiled|torch), experts (compiled|one by one), steps eager$", text
    )
    [(level, text)] = found("computing", "engine.device=gpu")
    assert text == "float32 on GPUs; no GPU is seen here, so more can't be told"
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: "A card")
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr("model.attention.flash._what_triton_lacks", lambda *_: "a C compiler")
    [(level, text)] = found("computing", "model.dtype=bfloat16")
    assert level == "warning"
    assert text.startswith("bfloat16 on A card; attention torch, ")
    assert text.endswith("no flash attention: it needs a C compiler; no graphs: they need flash attention")
    [(level, text)] = found("computing", "model.dtype=bfloat16", "model.attention=flash")
    assert (level, text) == ("problem", "model: attention flash needs a C compiler; choose auto")
