"""Input and output that overlap, in every way to name them, and neighbours that don't."""

import os
from pathlib import Path

import pytest

from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError
from pipeline.output.empty_table import write_empty_table
from pipeline.preflight.apart import require_apart, require_no_own_output
from pipeline.reading.files import expand
from pipeline.reading.listing import is_hidden
from tests import small_output


def config(given: str | list[str], output: str) -> JobConfig:
    return JobConfig.model_validate(
        {
            "job": "x",
            "task": "generate",
            "model": {"path": "m"},
            "input": {"path": given, "prompt": {"column": "text"}},
            "output": {"path": output},
        }
    )


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/in").mkdir(parents=True)
    (tmp_path / "data/in/a.jsonl").touch()
    (tmp_path / "link").symlink_to("data")
    (tmp_path / "data/[x]").mkdir()


BOTH = "lies in input.path|lies in output.path|would take what the job writes"


@pytest.mark.parametrize(
    ("given", "output"),
    [
        ("data/in", "data/in/out"),
        ("data/in", "data/in"),
        ("data/in", "./data/../data/in/out/deep"),
        ("data/in", "link/in/out"),
        ("link/in", "data/in/out"),
        ("file://{cwd}/data/in", "data/in/out"),
        (["nowhere.jsonl", "data/"], "{cwd}/data/out"),
        ("data/in/a.jsonl", "data"),
        ("data/in/*.jsonl", "link"),
        ("data/in/*.json", "data/in"),
        ("data/**/*.parquet", "data/out"),
        ("d*/*/*/*.parquet", "data/out"),
        ("data/*/generations/*", "data/out"),
        ("data/*/generations/part-000001-*.parquet", "data/out"),
        ("data/*/generations/part-empty.parquet", "data/out"),
        ("data/*/router/pairs.parquet", "data/out"),
        ("data/*/router/layers.parquet", "data/out"),
        ("data//*//report.html", "data/out"),
        ("data/out/generations", "data/out"),
        ("data/[x]", "data/[x]/out"),
        ("/*/*.html", "/out"),
        ("s3://b/in", "s3://b/in/out"),
        ("s3://b/in/", "s3a://b/in"),
        ("s3://b/out/generations/*.parquet", "s3://b/out/"),
        ("gs://b/**", "gcs://b/out"),
    ],
)
def test_an_overlap_is_refused_naming_both(given: str | list[str], output: str) -> None:
    cwd = os.getcwd()
    one = given[-1] if isinstance(given, list) else given.format(cwd=cwd)
    with pytest.raises(ConfigError, match=BOTH) as raised:
        require_apart(config(given if isinstance(given, list) else one, output.format(cwd=cwd)))
    assert one in str(raised.value)
    assert output.format(cwd=cwd) in str(raised.value)


@pytest.mark.parametrize(
    ("given", "output"),
    [
        ("data/in", "data/in-out"),
        ("data/in", "data/out"),
        ("data/*.jsonl", "data/out"),
        ("data/*/*.parquet", "data/out"),
        ("data/in/*.jsonl", "data/in/out"),
        ("other/generations", "out"),
        ("s3://b/in", "s3://b/in-out"),
        ("s3://b/in", "gs://b/in"),
        ("s3://b/in", "b/in"),
        ("https://host/in/a.jsonl", "out"),
        ("a**b", "out"),
    ],
)
def test_neighbours_are_apart(given: str, output: str) -> None:
    require_apart(config(given, output))


@pytest.mark.parametrize("empty", [False, True])
def test_a_glob_that_names_any_file_of_a_real_output_is_refused(tmp_path: Path, empty: bool) -> None:
    """Each file of a finished job, and of one without a row, named as it is but for the output folder."""
    if empty:
        data = small_output.job_data(tmp_path)
        data["input"] |= {"path": str(tmp_path / "none"), "allow_empty": True}
        job, store, plan = small_output.begin(data)
        write_empty_table(job, store, plan)
        small_output.finish(job, store, plan)
    else:
        small_output.finished(tmp_path)
    written = [
        str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*") if file.is_file()
    ]
    seen = [name for name in written if not any(map(is_hidden, name.split("/")))]
    assert {name.partition("/")[0] for name in seen} == {
        "generations",
        "router",
        "report.json",
        "report.html",
    }
    (tmp_path / "out").rename(tmp_path / "moved")
    for name in seen:
        with pytest.raises(ConfigError, match="would take what the job writes"):
            require_apart(config(f"{tmp_path}/*/{name}", f"{tmp_path}/out"))


def test_a_file_that_a_link_finds_in_the_output_is_refused(tmp_path: Path) -> None:
    """As when a job is extended whose input links to what it wrote."""
    (tmp_path / "out/generations").mkdir(parents=True)
    job = config("data/in", "out")
    require_no_own_output(job, expand(job.input).files)
    (tmp_path / "out/generations/part.parquet").touch()
    (tmp_path / "data/in/more").symlink_to("../../out/generations")
    require_apart(job)
    links = config("data/link", "out")
    (tmp_path / "data/link").mkdir()
    (tmp_path / "data/link/b.parquet").symlink_to(tmp_path / "out/generations/part.parquet")
    with pytest.raises(ConfigError, match=r"b\.parquet lies in output.path out"):
        require_no_own_output(links, expand(links.input).files)
    with pytest.raises(ConfigError, match=r"more/part\.parquet lies in output.path out"):
        require_no_own_output(job, expand(job.input).files)
