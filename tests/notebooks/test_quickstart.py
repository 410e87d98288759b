"""The notebooks run where the demo has run, and say what the README says."""

import json
import re
import shutil
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from configs.demo.accuracy import accuracy

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, demo_output: Path) -> Path:
    """A copy of what a notebook needs, so that it writes nothing into the repository; the demo has run."""
    copy = tmp_path_factory.mktemp("checkout")
    for folder in ("configs", "jobs", "model", "notebooks", "pipeline"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(demo_output, copy / "out" / "demo")
    return copy


@pytest.fixture(scope="module")
def executed(checkout: Path) -> NotebookNode:
    """The notebook with its outputs; a cell that fails raises here."""
    notebook = nbformat.read(checkout / "notebooks" / "quickstart.ipynb", as_version=4)
    resources = {"metadata": {"path": str(checkout / "notebooks")}}
    return NotebookClient(notebook, timeout=200, kernel_name="python3", resources=resources).execute()


def outputs(notebook: NotebookNode, kind: str) -> list[str]:
    return [
        output["data"][kind]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if kind in output.get("data", {})
    ]


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_every_cell_ends_well_and_the_heatmap_comes_out(executed: NotebookNode) -> None:
    cells = [cell for cell in executed.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells)
    assert not [out for cell in cells for out in cell.outputs if out.output_type == "error"]
    [picture] = outputs(executed, "image/png")
    assert len(picture) > 10_000
    assert len(outputs(executed, "text/html")) == 8, "a table in every cell that ends with one"


@pytest.mark.slow
def test_it_goes_on_with_the_demo_where_it_stands(executed: NotebookNode, checkout: Path) -> None:
    report = json.loads((checkout / "out" / "demo" / "report.json").read_text())
    assert report["output"] == str(checkout / "out" / "demo")
    assert report["rows_this_run"] == 0, "all rows were there"


@pytest.mark.slow
def test_the_readme_tells_the_demos_accuracy(executed: NotebookNode, checkout: Path) -> None:
    counts = accuracy(pd.read_parquet(checkout / "out" / "demo" / "generations"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    told = [
        (int(right.replace(",", "")), int(size.replace(",", "")))
        for right, size in re.findall(r"([\d,]+) of\s+([\d,]+)", readme.partition("## When")[0])
    ]
    for place, (right, size) in zip(
        [("all", "all"), ("phrasing", "known"), ("phrasing", "new")], told, strict=True
    ):
        assert counts.loc[place, "size"] == size
        assert counts.loc[place, "sum"] == pytest.approx(right, abs=2), "another CPU may round otherwise"


@pytest.mark.parametrize("notebook", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.name)
def test_notebooks_are_committed_without_outputs(notebook: Path) -> None:
    cells = nbformat.read(notebook, as_version=4).cells
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
