"""Checkpoints with every head and Mistral's own tokenizer, and jobs over them."""

import json
import shutil
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from pipeline.config.job import JobConfig

SIZES: dict[str, Any] = {
    "vocab_size": 32_000, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 4,
    "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "sliding_window": None, "initializer_range": 0.3,
    "eos_token_id": 2, "pad_token_id": None,
}  # fmt: skip


class Headed:
    """transformers' model of one of its Mixtral classes, its folder, and jobs with it."""

    def __init__(self, suffix: str, folder: Path, **config: Any) -> None:
        torch.manual_seed(0)
        made = getattr(transformers, f"Mixtral{suffix}")(transformers.MixtralConfig(**SIZES, **config))
        for head in ("score", "qa_outputs"):
            if hasattr(made, head):  # transformers begins with biases of 0
                getattr(made, head).reset_parameters()
        self.model = made.eval()
        self.model.save_pretrained(folder)
        self.folder = folder
        shutil.copy(str(files("mistral_common") / "data" / "tokenizer.model.v1"), folder / "tokenizer.model")
        self.settings()

    def settings(self, **settings: Any) -> None:
        """Of tokenizer_config.json, without which the checkpoint would be an instruct one."""
        (self.folder / "tokenizer_config.json").write_text(json.dumps(settings))

    @torch.inference_mode()
    def __call__(self, token_ids: list[int]) -> Any:
        """What transformers' model gives for one row."""
        return self.model(torch.tensor([token_ids]))


@pytest.fixture(scope="session")
def headed(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Headed]:
    """A class of transformers, without its first word, and the configuration of its labels."""

    @cache
    def make(suffix: str, labels: tuple[str, ...] = (), problem: str | None = None) -> Headed:
        config: dict[str, Any] = {"problem_type": problem} if problem else {}
        if labels:
            config["id2label"] = dict(enumerate(labels))
        return Headed(suffix, tmp_path_factory.mktemp(suffix), **config)

    return make


@pytest.fixture
def job_of(tmp_path: Path) -> Callable[..., JobConfig]:
    """A task, a checkpoint and rows -> a job over the rows, with the prompts' ids in its output."""

    def make(task: str, checkpoint: Headed, rows: list[Any], **sections: Any) -> JobConfig:
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        (tmp_path / "rows.jsonl").write_text("".join(line + "\n" for line in lines))
        prompt = {} if task == "answer" else {"prompt": {"column": "text"}}
        given = {"path": str(tmp_path / "rows.jsonl"), "shard_rows": 8} | prompt
        data = {
            "job": "test",
            "task": task,
            "model": {"path": str(checkpoint.folder), "dtype": "float32"},
            "engine": {"replicas": 1, "device": "cpu"},
            **sections,
            "input": given | sections.get("input", {}),
            "output": {"path": str(tmp_path / "out"), "include": ["prompt_token_ids"]}
            | sections.get("output", {}),
        }
        return JobConfig.model_validate(data)

    return make
