"""`python -m jobs convert` as a user meets it."""

import json
from pathlib import Path

import torch
from typer.testing import CliRunner, Result

from jobs.__main__ import app
from tests.conftest import HFCheckpoint
from tests.model.checkpoint.mistral_format import write_mistral


def convert(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["convert", *map(str, arguments)], env={"COLUMNS": "200"})


def test_progress_and_what_was_written(checkpoint: HFCheckpoint, tmp_path: Path) -> None:
    source = write_mistral(checkpoint.folder, tmp_path / "from")
    done = convert(source, tmp_path / "to")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"{tmp_path}/to: 3 layers, 4 experts; its forward pass is that of {source}\n"
    assert done.stderr.splitlines() == [
        "100%  model.safetensors",
        "  0%  reading back model.safetensors",
        "100%  a forward pass",
    ]
    assert json.loads((tmp_path / "to/config.json").read_text())["model_type"] == "mixtral"
    again = convert(source, tmp_path / "to")
    assert again.exit_code == 2
    assert "is not empty" in again.stderr


def test_what_can_not_be_read_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    for given, said in (
        ([tmp_path / "nowhere"], f"error: FROM: {tmp_path}/nowhere: no such folder"),
        ([tmp_path], "no config.json in it, nor Mistral's params.json"),
        ([tmp_path, "--pickles"], "no config.json; give a folder with a checkpoint"),
        (
            ["s3://bucket/model", "--pickles"],
            "error: FROM: s3://bucket/model: pickled weights are read from a",
        ),
    ):
        done = convert(given[0], tmp_path / "to", *given[1:])
        assert done.exit_code == 2, done.stderr
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert not (tmp_path / "to").exists()


def test_pickles_are_read_where_they_are_asked_for(checkpoint: HFCheckpoint, tmp_path: Path) -> None:
    folder = tmp_path / "from"
    folder.mkdir()
    (folder / "config.json").write_text((checkpoint.folder / "config.json").read_text())
    torch.save(dict(checkpoint.model.state_dict()), folder / "pytorch_model.bin")
    refused = convert(folder, tmp_path / "to")
    assert refused.exit_code == 2
    assert "pytorch_model.bin cannot be used: loading them could run code" in refused.stderr
    done = convert(folder, tmp_path / "to", "--pickles")
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "to/model.safetensors").exists()
