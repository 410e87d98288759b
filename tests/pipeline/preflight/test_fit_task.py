"""A checkpoint whose head can't do the task: refused by what it is, with the tasks that go with it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from pipeline.errors import ConfigError
from pipeline.preflight.checkpoint_facts import checkpoint_facts
from pipeline.preflight.fit_task import closing_tokens, fit_task
from pipeline.preflight.job import check_job
from pipeline.tasks.classify import Classify, ClassifySection
from pipeline.tasks.embed import Embed, EmbedSection
from tests.conftest import HFCheckpoint

MakeConfig = Callable[..., Any]
KINDS = {
    "ForSequenceClassification": "which is a sequence classifier or reward model; with it go classify$",
    "ForTokenClassification": "which is a token classifier; with it go tag$",
    "ForQuestionAnswering": "which is a question answering model; with it go answer$",
    "Model": "which is a model without a head; with it go embed$",
}


@pytest.fixture
def folder(checkpoint: HFCheckpoint, tmp_path: Path) -> Path:
    return shutil.copytree(checkpoint.folder, tmp_path / "checkpoint")


def rename(folder: Path, architectures: list[str] | None) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": architectures}))


@pytest.mark.parametrize("suffix", KINDS)
def test_by_the_class_that_config_json_names(suffix: str, folder: Path, make_config: MakeConfig) -> None:
    """Before the weights are looked at: these don't fit the class."""
    rename(folder, [f"Mixtral{suffix}"])
    (folder / "model.safetensors").write_bytes(b"none")
    with pytest.raises(ConfigError, match=f"task: generate does not go with .*, {KINDS[suffix]}"):
        check_job(make_config([{"ids": [1]}], model={"path": str(folder)}))


def test_a_language_model_classifies_nothing(make_config: MakeConfig) -> None:
    message = "task: classify does not go with .*, which is a language model; with it go generate, "
    with pytest.raises(ConfigError, match=f"{message}label, score, embed$"):
        check_job(make_config([{"ids": [1]}], task="classify"))


def test_by_the_weights_where_config_json_names_no_class(folder: Path, make_config: MakeConfig) -> None:
    rename(folder, None)
    tensors = load_file(folder / "model.safetensors")
    tensors["score.weight"] = tensors.pop("lm_head.weight")[:2].clone()
    save_file(tensors, folder / "model.safetensors")
    job = check_job(make_config([{"ids": [1]}], task="classify", model={"path": str(folder)}))
    assert ("head", "a sequence classifier or reward model") in checkpoint_facts(job)
    assert job.requests.facts() == [("labels", "one of them: LABEL_0, LABEL_1")]
    with pytest.raises(ConfigError, match="task: generate does not go with "):
        check_job(make_config([{"ids": [1]}], model={"path": str(folder)}))


def test_the_task_is_made_for_the_model(make_config: MakeConfig) -> None:
    job = check_job(make_config([{"ids": [1]}], task="embed"))
    assert isinstance(job.task, Embed)
    [(_, column)] = job.task.columns
    assert column.list_size == job.model.dim
    assert "head" not in dict(checkpoint_facts(job))


def test_prompts_without_a_format_are_closed_by_nobody(make_config: MakeConfig) -> None:
    assert closing_tokens(Classify(ClassifySection()), None) == ()
    job = check_job(make_config([{"ids": [1]}], task="embed"))
    assert closing_tokens(job.task, job.prompt_format) == ()
    assert closing_tokens(Embed(EmbedSection(append_eos=True)), job.prompt_format) == (2,)
    assert fit_task("embed", job.task, job.model, "x").columns == job.task.columns
