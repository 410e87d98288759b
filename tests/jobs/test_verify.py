"""The command `verify` as a user meets it."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from jobs.__main__ import app
from pipeline.storage.local_store import LocalStore
from tests import small_output

ROOT = Path(__file__).parents[2]


def verify(out: object) -> Result:
    return CliRunner().invoke(app, ["verify", str(out)], env={"COLUMNS": "40"})


def test_the_demo_s_output_is_whole(demo_output: Path) -> None:
    """Of a job that replicas ran."""
    result = verify(demo_output)
    assert result.exit_code == 0, result.output
    [line] = result.stdout.splitlines()
    assert line.startswith(f"{demo_output}: ")
    assert " with 1,200 rows (" in line
    assert line.endswith(
        "The job is finished: _SUCCESS, router/ and report.json are what the parts add up to"
    )


def test_damaged_files_are_named_one_a_line_with_what_to_do_at_the_end(tmp_path: Path) -> None:
    out = Path(small_output.finished(tmp_path).root)
    first, second, _ = sorted(out.glob("generations/*"))
    first.write_bytes(b"")
    second.write_bytes(second.read_bytes()[:-1])
    (out / "generations" / "[red]a\nb\x1b.parquet").write_bytes(b"")
    result = verify(out)
    assert result.exit_code == 2
    lines = result.stdout.splitlines()
    assert lines[:3] == [
        f"generations/{first.name}: it is empty",
        f"generations/{second.name}: its bytes are not those that were written",
        r"generations/[red]a\nb\x1b.parquet: it is none of this job's files",
    ]
    assert lines[3].startswith(f"what to do about generations/{first.name} and 1 more: remove it, and the ")
    assert lines[4] == r"what to do about generations/[red]a\nb\x1b.parquet: move it out of the folder"
    assert len(lines) == 5
    assert result.stderr == f"error: {out}: 3 damaged files, named above\n"


def test_an_unfinished_job_says_what_is_still_to_do(tmp_path: Path) -> None:
    job, store, plan = small_output.begin(small_output.job_data(tmp_path))
    small_output.commit(job, store, plan.shards[:1])
    result = verify(tmp_path / "out")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "1 part with 4 rows" in result.stdout
    assert result.stdout.endswith("The job is not finished, to do: 2 shards\n")
    small_output.commit(job, store, plan.shards[1:])
    assert verify(tmp_path / "out").stdout.endswith(
        "no _SUCCESS yet: run it again, nothing is to be computed\n"
    )


@pytest.mark.parametrize("place", ["nowhere", "s4://bucket/x"])
def test_what_is_no_output_folder_is_one_line(tmp_path: Path, place: str) -> None:
    result = verify(place if "://" in place else tmp_path / place)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("error: ")


def test_what_was_found_is_told_though_the_rest_can_t_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Path(small_output.finished(tmp_path).root)
    first, *_, last = sorted(out.glob("generations/*"))
    first.write_bytes(b"")
    plain = LocalStore.read

    def read(store: LocalStore, path: str) -> bytes:
        if path.endswith(last.name):
            raise OSError(errno.EMFILE, "Too many open files")
        return plain(store, path)

    monkeypatch.setattr(LocalStore, "read", read)
    result = verify(out)
    assert result.exit_code == 1
    assert result.stdout.startswith(f"generations/{first.name}: it is empty\n")
    assert "Too many open files" in result.stderr


@pytest.mark.parametrize("place", ["", "s3%3A//user:secret@bucket/x", "s3://key:secret@bucket/x"])
def test_a_place_with_credentials_or_none_is_refused_and_not_shown(place: str) -> None:
    result = verify(place)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: OUT: ")
    assert "secret@" not in result.output


def test_a_file_is_no_output_folder(tmp_path: Path) -> None:
    small_output.finished(tmp_path)
    result = verify(tmp_path / "out/_SUCCESS")
    assert result.exit_code == 2
    assert "a file lies where a folder should be" in result.stderr


@pytest.mark.parametrize(
    ("redirection", "code", "told"),
    [
        ("| true", 2, "3 damaged files, named above"),
        (">/dev/full", 1, "No space left on device: 'the standard output'"),
    ],
)
def test_an_output_that_nobody_reads_or_that_is_full_is_told(
    tmp_path: Path, redirection: str, code: int, told: str
) -> None:
    out = Path(small_output.finished(tmp_path).root)
    for part in out.glob("generations/*"):
        part.write_bytes(b"")
    command = f"{sys.executable} -m jobs verify {out} {redirection}"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert "Broken pipe" not in done.stderr


def test_it_needs_neither_ray_nor_torch(tmp_path: Path) -> None:
    """So that it runs wherever the output can be read."""
    small_output.finished(tmp_path)
    program = f"""
import sys
from jobs.__main__ import app
try:
    app(["verify", {str(tmp_path / "out")!r}])
finally:
    print([name for name in ("torch", "ray") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "[]"), done.stderr
