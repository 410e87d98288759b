"""Commands whose standard files are closed, full or gone, and whose locale knows no umlauts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "configs/demo/job.yaml"
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def shell(command: str, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    """Run by bash; `jobs` stands for the command line."""
    program = f'jobs() {{ "{sys.executable}" -m jobs "$@"; }}\n{command}'
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))}
    return subprocess.run(
        ["bash", "-c", program], cwd=ROOT, env=variables | environment, capture_output=True, timeout=120
    )


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("jobs schema >&-", 0),
        ("jobs schema <&- >&- 2>&-", 0),
        ("jobs --version >&-", 0),
        ("jobs plan nowhere.yaml >&-", 2),
        ("jobs run nowhere.yaml 2>&-", 2),
        ("jobs doctor nowhere.yaml >&- 2>&-", 2),
        ("jobs rum 2>&-", 2),
        ("jobs run nowhere.yaml 2> >(true)", 2),  # who read it is gone
        ("jobs schema > /dev/full", 1),
    ],
)
def test_a_closed_output_changes_no_exit_code(command: str, code: int) -> None:
    done = shell(command)
    assert done.returncode == code, done
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    if "2>" in command:
        assert done.stdout == b"", "what belongs on standard error stays there"


def test_a_full_output_is_named() -> None:
    done = shell("jobs schema > /dev/full")
    assert done.stderr == (
        b"error: [Errno 28] No space left on device: 'the standard output'; mend the cause and run the same "
        b"command again\n"
    )


def test_no_file_gets_the_number_of_a_closed_output(tmp_path: Path) -> None:
    program = (
        "import os, sys; from jobs.standard_streams import make_ready; make_ready(); "
        f"file = open({str(tmp_path / 'rows')!r}, 'w'); print('to nobody'); os.write(2, b'to nobody'); "
        "sys.exit(file.fileno() <= 2)"
    )
    done = shell(f'"{sys.executable}" -c "{program}" <&- >&- 2>&-')
    assert done.returncode == 0
    assert (tmp_path / "rows").read_text(encoding="utf-8") == ""


def test_umlauts_are_read_and_shown_in_the_c_locale(tmp_path: Path) -> None:
    """In the name of the job file, of its input, in its template and in the rows."""
    folder = tmp_path / "Straße"
    folder.mkdir()
    (folder / "größe.jsonl").write_text(json.dumps({"täxt": "schön"}, ensure_ascii=False), encoding="utf-8")
    job = folder / "jöb.yaml"
    job.write_text(
        "job: x\ntask: generate\nmodel: {path: configs/demo/tiny-mixtral}\n"
        f"input: {{path: '{folder}/*.jsonl', prompt: {{template: 'Käse {{{{ täxt }}}}'}}}}\n"
        f"output: {{path: {folder}/out}}\n",
        encoding="utf-8",
    )
    done = shell(f"jobs plan {job} --show 1", **C_LOCALE)
    assert done.returncode == 0, done
    assert "größe.jsonl" in done.stdout.decode("utf-8")
    assert done.stderr == b""

    done = shell(f"jobs plan {job} --set input.limt=ö", **C_LOCALE)
    assert done.returncode == 2
    assert f"error: {job}: input.limt: unknown key".encode() in done.stderr


def test_a_name_that_is_not_utf8_is_shown_escaped() -> None:
    done = shell("jobs plan $'no\\xff.yaml'")
    assert (done.returncode, done.stderr) == (
        2,
        b"error: no\\xff.yaml: cannot read the job file: No such file or directory\n",
    )
