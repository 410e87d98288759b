"""The training script, for a few steps: it learns, it is reproducible, and what it writes can be read."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from configs.demo.recipe import train as recipe
from configs.demo.recipe.train import load_balance, train
from model.checkpoint.load import load_transformer
from model.scheduling.batch import left_pad

CHECKPOINT_FILES = {
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.model",
    "tokenizer_config.json",
}


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(recipe, "BATCH_ROWS", 4)
    monkeypatch.setattr(recipe, "TOKENIZER_LESSONS", 600)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("short")
def test_writes_a_checkpoint_that_loads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(tmp_path, steps=20)
    assert {file.name for file in tmp_path.iterdir()} == CHECKPOINT_FILES
    logits = load_transformer(tmp_path, torch.float32)(*left_pad([[1, 5, 6]]))
    assert logits.isfinite().all()
    assert "step 20" in capsys.readouterr().out


@pytest.mark.usefixtures("short")
def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        train(tmp_path / name, steps=2)
    for file in CHECKPOINT_FILES:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file


def test_load_balance_is_smallest_when_experts_share_the_work() -> None:
    even = torch.zeros(8, 4)
    each_once = torch.tensor([[0, 1], [2, 3]] * 4)
    assert load_balance(even, each_once) == pytest.approx(2.0)
    crowded = torch.tensor([[9.0, 9.0, 0.0, 0.0]] * 8)
    assert load_balance(crowded, torch.tensor([[0, 1]] * 8)) == pytest.approx(4.0, abs=0.01)
