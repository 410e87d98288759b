"""A whole job whose files and output folder are called what terminals, markup and URLs give a meaning."""

from pathlib import Path

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from jobs.__main__ import app
from tests.pipeline.test_extend import MakeConfig, add

NAMES = ("o[red].jsonl", "\x1b[2J.jsonl", "new\nline#1.jsonl", "a::b.jsonl", "é" * 124 + "x.jsonl")


@pytest.mark.usefixtures("local_ray")
def test_odd_names_come_out_as_they_are_and_are_shown_escaped(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    for name in NAMES:
        add(tmp_path / "in", name, 1)
    (tmp_path / "in/UPPER.JSONL").symlink_to(tmp_path / "in" / NAMES[0])
    (tmp_path / "in/notes\x1b.txt").touch()
    out = tmp_path / "o[/5]\x1b[31m"
    config = make_config(
        [],
        input={"path": str(tmp_path / "in")},
        output={"path": str(out)},
        generation={"max_new_tokens": 1},
    )
    job_file = tmp_path / "job.yaml"
    job_file.write_text(yaml.safe_dump(config.model_dump(mode="json", exclude_unset=True)))

    def said(*command: str) -> str:
        result = CliRunner().invoke(app, [*command, str(job_file)], env={"COLUMNS": "400"})
        assert result.exit_code == 0, result.output
        assert "\x1b[2J" not in result.output
        assert "\x1b[31m" not in result.output
        return result.output

    assert r"new\nline#1.jsonl" in said("plan")
    for _ in range(2):  # the second finds it finished
        shown = said("run")
        assert r"o[/5]\x1b[31m" in shown
    assert r"notes\x1b.txt: of another ending" in said("plan")
    table = pd.read_parquet(out / "generations")
    assert sorted(table["file"]) == sorted(NAMES)
    assert sorted(table["id"]) == sorted(f"{name}#0" for name in NAMES)
    assert (table["status"] == "ok").all()
