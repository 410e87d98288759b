"""What the README says exists: its job file, commands, files and folders."""

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from jobs.__main__ import app
from pipeline.config.job import JobConfig

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


COMMANDS = [line for block in blocks("sh") for line in block.replace("\\\n", "").splitlines() if line.strip()]


def test_the_job_file_is_one_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [text] = blocks("yaml")
    data = yaml.safe_load(text)
    assert JobConfig.model_validate(data).output.path == "out/tickets"
    data["output"]["path"] = str(tmp_path / "out")
    job = tmp_path / "job.yaml"
    job.write_text(yaml.safe_dump(data), encoding="utf-8")
    monkeypatch.chdir(ROOT)
    planned = CliRunner().invoke(app, ["plan", str(job)])
    assert planned.exit_code == 0, planned.output


def test_there_are_commands() -> None:
    assert {"make demo", "make test"} <= {" ".join(shlex.split(c, comments=True)) for c in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_name_what_exists(command: str) -> None:
    words = shlex.split(command, comments=True)
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", MAKEFILE, re.MULTILINE), f"no target {words[1]}"
        return
    assert words[0] in ("ray", ".venv/bin/python")
    sub_command, config, *options = words[words.index("jobs") + 1 :]
    assert CliRunner().invoke(app, [sub_command, "--help"]).exit_code == 0
    assert options[::2] == ["--set"] * (len(options) // 2)
    JobConfig.load(ROOT / config, options[1::2])


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)]+)\)", README))))
def test_links_lead_somewhere(target: str) -> None:
    assert (ROOT / target).exists()


def test_its_lines_of_python_run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    [program] = blocks("python")
    assert len([line for line in program.splitlines() if line]) <= 5
    monkeypatch.chdir(ROOT)
    exec(program)
    assert re.fullmatch(r"\[\d+(, \d+){0,7}\] \(2, 4, 2, 8\)\n", capsys.readouterr().out)


def test_its_counts_are_those_of_the_demo(demo_output: Path) -> None:
    table = pd.read_parquet(demo_output / "generations")
    right, labelled = (table["label"] == table["queue"]).sum(), (table["status"] == "ok").sum()
    sentence = f"of the demo's {labelled:,} tickets that can be read, {right:,} get the right label"
    assert sentence in " ".join(README.split())
    assert f"({right / labelled:.1%})" in README
    shown = re.findall(r"^\| (2026-\S+) \|" + r" ([\w.]*) ?\|" * 6 + "$", README, re.MULTILINE)
    assert len(shown) >= 3
    table["label_prob"] = table["label_prob"].map("{:.4f}".format)
    columns = ["id", "status", "label", "label_prob", "queue", "language", "error_code"]
    published = table[columns].fillna("").replace("nan", "").itertuples(index=False, name=None)
    assert set(shown) <= set(published)


def test_the_picture_is_small() -> None:
    picture = (ROOT / "notebooks" / "routing-demo.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 200_000


def test_one_screen() -> None:
    assert len(README.splitlines()) <= 120
