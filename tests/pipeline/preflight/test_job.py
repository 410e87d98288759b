"""What is refused before weights are loaded, and what a checked job holds."""

import json
import shutil
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError
from pipeline.preflight.job import check_job
from pipeline.preflight.memory_forecast import forecast_memory
from pipeline.storage.urls import filesystem
from tests.conftest import HFCheckpoint
from tests.model.checkpoint.lora_adapter import write_old
from tests.model.checkpoint.mistral_format import write_mistral
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


def test_with_a_sliding_window_the_longest_row_needs_two_windows_of_cache(
    make_config: MakeConfig, checkpoint: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "windowed"
    folder.mkdir()
    for file in checkpoint.folder.iterdir():
        (folder / file.name).symlink_to(file)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").unlink()
    windowed = config | {"sliding_window": 16, "max_position_embeddings": 4096}
    (folder / "config.json").write_text(json.dumps(windowed))
    engine = {"kv_cache_tokens": 300}
    job = check_job(make_config([], model={"path": str(folder)}, engine=engine))
    assert (job.preparation.context, job.least_cache_tokens) == (4096, 256), "2 pages of a GPU each"
    one_token = 2 * 3 * job.model.num_kv_heads * job.model.head_dim * 4
    assert forecast_memory(job, on_gpus=False).needed.cache == 256 * one_token
    (folder / "config.json").write_text(json.dumps(windowed | {"sliding_window": None}))
    with pytest.raises(ConfigError, match=r"must hold the longest row there can be \(4096 tokens\), got 300"):
        check_job(make_config([], model={"path": str(folder)}, engine=engine))


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
        "task: generate does not go with memory://judged, which is a token classifier; with it go tag",
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


def test_the_adapter_is_part_of_what_the_job_is(
    make_config: MakeConfig, checkpoint: HFCheckpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes are, wherever it lies."""
    path = str(checkpoint.folder)
    plain = check_job(make_config([]))
    folder = write_old(tmp_path / "adapter", sizes=(32, 48, 4))
    monkeypatch.chdir(tmp_path)
    with_adapter = check_job(make_config([], model={"path": path, "adapter": "adapter"}))
    assert with_adapter.config.model.adapter == str(folder), "replicas run elsewhere"
    assert with_adapter.spec["checkpoint"] != plain.spec["checkpoint"]
    assert {**with_adapter.spec, "checkpoint": ""} == {**plain.spec, "checkpoint": ""}
    moved = shutil.copytree(folder, tmp_path / "moved")
    assert check_job(make_config([], model={"path": path, "adapter": str(moved)})).spec == with_adapter.spec
    write_old(moved, sizes=(32, 48, 4), lora_alpha=7)
    assert check_job(make_config([], model={"path": path, "adapter": str(moved)})).spec != with_adapter.spec


@pytest.mark.parametrize(
    ("adapter", "sentence"),
    [
        ("nowhere", r"model\.adapter: nowhere: no such folder"),
        ("s3://bucket/adapter", r"model\.adapter: s3://bucket/adapter: adapters are read from a folder"),
        (".", r"model: .*: no adapter_config\.json; give the folder of a PEFT adapter"),
        ("of another model", r"model: .*adapter_model\.safetensors: .* is for a weight of shape \(16, 16\)"),
        ("with DoRA", r"model: .*adapter_config\.json: use_dora is set: DoRA"),
    ],
)
def test_an_adapter_that_can_not_be_merged_is_refused_in_one_sentence(
    adapter: str,
    sentence: str,
    make_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    checkpoint: HFCheckpoint,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_old(tmp_path / "of another model", sizes=(16, 24, 4))
    write_old(tmp_path / "with DoRA", sizes=(32, 48, 4), use_dora=True)
    with pytest.raises(ConfigError, match=sentence) as refused:
        check_job(make_config([], model={"path": str(checkpoint.folder), "adapter": adapter}))
    assert "\n" not in str(refused.value)


def test_a_folder_in_mistral_s_own_format_with_its_tokenizer(
    make_config: MakeConfig, checkpoint: HFCheckpoint, tmp_path: Path
) -> None:
    """The tokenizer's name tells the format of prompts, where there is no chat template."""
    folder = write_mistral(checkpoint.folder, tmp_path / "mistral")
    config = make_config([{"text": "a"}], prompt={"column": "text"}, model={"path": str(folder)})
    with pytest.raises(ConfigError, match="a checkpoint needs its tokenizer"):
        check_job(config)
    (folder / "tekken.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"tekken\.json: not a tekken vocabulary: it has no 'config'"):
        check_job(config)
    source = files("mistral_common") / "data" / "mistral_instruct_tokenizer_240323.model.v3"
    shutil.copy(str(source), folder / "tokenizer.model.v3")
    with pytest.raises(ConfigError, match="gives ids up to 32767"):
        check_job(config)
    (folder / "tokenizer.model.v3").unlink()
    shutil.copy(checkpoint.folder / "tokenizer.model", folder / "tokenizer.model.v1")
    job = check_job(config)
    assert job.prompt_format is not None
    assert job.prompt_format.source.startswith("Mistral's format v1")
    assert (job.model.num_layers, job.model.max_positions, job.model.eos_token_ids) == (3, 256, (2,))


def test_memory_is_planned_for_a_head_that_is_stored_though_it_should_be_tied(
    make_config: MakeConfig, checkpoint: Any, tmp_path: Path
) -> None:
    folder = shutil.copytree(checkpoint.folder, tmp_path / "tied")
    stated = json.loads((folder / "config.json").read_text()) | {"tie_word_embeddings": True}
    (folder / "config.json").write_text(json.dumps(stated))
    assert not check_job(make_config([], model={"path": str(folder)})).model.tie_embeddings
