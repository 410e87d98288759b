"""What is refused before weights are loaded, and what a checked job holds."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError
from pipeline.preflight.job import check_job
from pipeline.storage.urls import filesystem
from tests.pipeline.conftest import write

MakeConfig = Callable[..., JobConfig]
CHOICES = {"task": "label", "prompt": {"column": "text"}, "input": {"chat": False}}


def test_a_checked_job_knows_its_model_task_and_room(make_config: MakeConfig) -> None:
    job = check_job(make_config([{"ids": [1]}]))
    assert (job.model.num_layers, job.model.max_positions) == (3, 256)
    assert job.preparation.longest_prompt == job.preparation.context == 256
    label = check_job(make_config([], **CHOICES, label={"choices": ["a", "good"]}))
    assert label.preparation.longest_prompt < 256, "choices stand behind the prompt"
    assert label.spec["config"]["label"] == {"choices": {"a": "a", "good": "good"}, "known_column": None}


@pytest.mark.parametrize("name", ["id", "status", "text", "router_decode_first", "token_ids"])
def test_a_kept_column_cannot_have_the_name_of_one_of_the_output(make_config: MakeConfig, name: str) -> None:
    with pytest.raises(ConfigError, match=f"input.keep: {name} is a column of the output already"):
        check_job(make_config([], input={"keep": [name]}))
    check_job(make_config([], input={"keep": {"other": name, "label": "label"}}))


@pytest.mark.parametrize(
    ("sections", "sentence"),
    [
        ({"output": {"path": "memory://x"}}, r"output\.path: memory:// is seen by one process only"),
        ({"input": {"path": "memory://x/a.jsonl"}}, r"input\.path: memory:// is seen by one process only"),
        ({"model": {"path": "no/such/folder"}}, r"model\.path: no/such/folder: no such folder"),
        (
            {"engine": {"kv_cache_tokens": 10}},
            r"engine\.kv_cache_tokens: must hold the longest row .*, got 10",
        ),
        ({**CHOICES, "label": {"choices": ["a", "word " * 300 + "b"]}}, r"label\.choices: the longest takes"),
        (
            {**CHOICES, "label": {"choices": ["a", " b"]}},
            r"label\.choices: the text of ' b' has spaces",
        ),
        (
            {"generation": {"stop_token_ids": [7, 32_000]}},
            "generation.stop_token_ids: 32000 is no token of a model of vocab_size 32000",
        ),
    ],
)
def test_what_cannot_run_is_refused_in_one_sentence(
    make_config: MakeConfig, sections: Any, sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence) as raised:
        check_job(make_config([], **sections))
    assert "\n" not in str(raised.value)


def test_ids_from_ids_need_no_tokenizer_unless_the_task_does(
    make_config: MakeConfig, checkpoint: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "without"
    folder.mkdir()
    for file in checkpoint.folder.iterdir():
        if not file.name.startswith("tokenizer"):
            (folder / file.name).symlink_to(file)
    model = {"path": str(folder)}
    assert check_job(make_config([], model=model)).prompt_format is None
    for sections in ({"generation": {"stop": ["x"]}}, {"task": "label", "label": {"choices": ["a", "b"]}}):
        with pytest.raises(ConfigError, match="a checkpoint needs its tokenizer"):
            check_job(make_config([], model=model, **sections))


# Files of a checkpoint at a URL that are replaced, and what is said of it before and after its weights come.
BEFORE_WEIGHTS = [
    ("config.json", {"hidden_act": "gelu"}, "model: memory://judged/config.json: hidden_act must be silu"),
    (
        "config.json",
        {"architectures": ["MixtralForTokenClassification"]},
        "model: memory://judged: architectures",
    ),
    ("adapter_config.json", {}, "model: memory://judged: adapter_config.json beside the weights of a base"),
    ("tokenizer.model", b"garbage", "memory://judged/tokenizer.model: not a sentencepiece model"),
]
WITH_WEIGHTS = (
    "model.safetensors",
    b"short",
    "model: memory://judged/model.safetensors: not a safetensors file",
)


def test_a_checkpoint_at_a_url_is_judged_before_its_weights_are_fetched_and_by_its_url(
    make_config: MakeConfig, checkpoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIXTRAY_CACHE", str(tmp_path / "cache"))
    for name, content, sentence in (*BEFORE_WEIGHTS, WITH_WEIGHTS):
        files = {file.name: file.read_bytes() for file in checkpoint.folder.iterdir()}
        if isinstance(content, dict):
            content = json.dumps(json.loads(files.get(name, b"{}")) | content).encode()
        fs, _ = filesystem("memory://judged")
        if fs.exists("/judged"):
            fs.rm("/judged", recursive=True)
        for file, data in (files | {name: content}).items():
            write(f"memory://judged/{file}", data)
        with pytest.raises(ConfigError) as refused:
            check_job(make_config([], prompt={"column": "text"}, model={"path": "memory://judged"}))
        assert str(refused.value).startswith(sentence)
        assert str(tmp_path / "cache") not in str(refused.value)
        fetched = bool([*(tmp_path / "cache").rglob("*.safetensors")])
        assert fetched == (name == WITH_WEIGHTS[0]), name


def test_memory_is_planned_for_a_head_that_is_stored_though_it_should_be_tied(
    make_config: MakeConfig, checkpoint: Any, tmp_path: Path
) -> None:
    folder = shutil.copytree(checkpoint.folder, tmp_path / "tied")
    stated = json.loads((folder / "config.json").read_text()) | {"tie_word_embeddings": True}
    (folder / "config.json").write_text(json.dumps(stated))
    assert not check_job(make_config([], model={"path": str(folder)})).model.tie_embeddings
