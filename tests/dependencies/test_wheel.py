"""The wheel: what is in it, and that its commands run where there is no clone."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import jobs

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PACKAGES = ("model", "pipeline", "jobs")
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
# An editable installation would lend the folders that the wheel leaves out.
RUN = """
import runpy, sys
sys.meta_path = [finder for finder in sys.meta_path if "__editable__" not in repr(finder)]
sys.argv = ["mixtray", *sys.argv[1:]]
runpy.run_module("jobs", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the sources, as setuptools leaves folders behind."""
    copy = tmp_path_factory.mktemp("sources")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in (*PACKAGES, "benchmarks", "configs", "tests"):
        shutil.copytree(
            ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors")
        )
    built = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(built)], cwd=copy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    [path] = built.iterdir()
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def mixtray(installed: Path, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    program = f"import sys; sys.path.insert(0, {str(installed)!r})\n{RUN}"
    return subprocess.run(
        [sys.executable, "-P", "-c", program, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_holds_three_packages_with_all_that_they_read(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    sources = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == sources
    assert {f"{package}/py.typed" for package in PACKAGES} <= held
    assert any(name.endswith(".jinja") for name in held)


def test_its_metadata_name_the_version_and_no_other_python_than_allowed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = archive.read(name).decode()
    assert f"\nVersion: {jobs.__version__}\n" in metadata
    assert "\nRequires-Python: >=3.11\n" in metadata
    assert "\nLicense-Expression: Apache-2.0\n" in metadata
    assert "\nClassifier: License ::" not in metadata, "the expression says it"
    assert "\nClassifier: Typing :: Typed\n" in metadata
    versions = re.findall(r"^Classifier: Programming Language :: Python :: 3\.(\d+)$", metadata, re.MULTILINE)
    assert "11" in versions
    assert min(map(int, versions)) >= 11


def test_its_commands_run_without_a_clone(installed: Path, tmp_path: Path) -> None:
    done = mixtray(installed, tmp_path, "--version")
    assert done.stdout == f"mixtray {jobs.__version__}\n", done.stderr
    shutil.copytree(ROOT / "configs" / "demo", tmp_path / "configs" / "demo")
    done = mixtray(installed, tmp_path, "plan", "configs/demo/job.yaml")
    assert done.returncode == 0, done.stderr
    assert "to run: 12 shards, 1,200 rows" in done.stdout


@pytest.mark.parametrize("command", [["engine"], ["job"], ["agreement", "job.yaml"]], ids=lambda c: str(c[0]))
def test_bench_says_that_it_wants_a_clone(installed: Path, tmp_path: Path, command: list[str]) -> None:
    done = mixtray(installed, tmp_path, "bench", *command)
    assert done.returncode == 2
    assert done.stderr.startswith("error: bench needs the folder benchmarks/")
    assert "in the root of a clone" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_changelog_begins_with_this_version() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert next(heading for heading in headings if heading != "Unreleased") == jobs.__version__
    assert headings[-1] == "0.1.0"


@pytest.mark.parametrize(
    ("extra", "package"),
    [("gpu", "model"), ("s3", "pipeline"), ("gcs", "pipeline"), ("hf", "pipeline"), ("bench", "benchmarks")],
)
def test_an_extra_holds_only_what_is_imported(extra: str, package: str) -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / package).rglob("*.py"))
    for requirement in PROJECT["optional-dependencies"][extra]:
        module = re.split(r"[\[<>=]", requirement)[0].replace("-", "_")
        assert re.search(rf"^\s*(?:import|from) {module}\b", sources, re.MULTILINE), requirement
