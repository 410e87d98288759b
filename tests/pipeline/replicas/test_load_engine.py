"""What a job file says of the engine reaches the engine, and so does the checkpoint, wherever it lies."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from model.sampling.sampling_params import SamplingParams
from pipeline.checkpoints.fingerprint import checkpoint_fingerprint
from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError
from pipeline.preflight.job import check_job
from pipeline.replicas.load_engine import ReplicaOptions, load_engine
from pipeline.replicas.replica_pool import replica_options
from pipeline.tasks.generate import Generate, GenerationSection
from tests.pipeline.conftest import write

MakeConfig = Callable[..., JobConfig]


def options(config: JobConfig, **others: Any) -> ReplicaOptions:
    nothing: Any = None
    spec = {"checkpoint": checkpoint_fingerprint(config.model.path)}
    return ReplicaOptions(
        config, config.make_task(), config.model.path, None, 1, nothing, spec, "run", nothing, **others
    )


def test_the_engine_is_loaded_as_the_job_says(make_config: MakeConfig, checkpoint: Any) -> None:
    config = make_config(
        [],
        model={"path": str(checkpoint.folder), "quantization": "int8"},
        engine={"max_batch_rows": 3, "kv_cache_tokens": 320},
        router={"statistics": False},
    )
    engine = load_engine(options(config))
    assert (engine.max_batch_rows, engine.cache_tokens) == (3, 320)
    assert engine.ranks.local.routing is None
    assert not [name for name, _ in engine.ranks.local.model.named_parameters() if "wqkv" in name]


def test_a_machine_fetches_a_url_into_its_own_cache_and_takes_no_other_checkpoint(
    make_config: Callable[..., JobConfig], checkpoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in checkpoint.folder.iterdir():
        write(f"memory://replicas/{file.name}", file.read_bytes())
    config = make_config(
        [], model={"path": "memory://replicas"}, engine={"max_batch_rows": 2, "kv_cache_tokens": 320}
    )
    monkeypatch.setenv("MIXTRAY_CACHE", str(tmp_path / "of the driver"))
    job = check_job(config)
    assert job.checkpoint.is_relative_to(tmp_path / "of the driver")
    resources: Any = SimpleNamespace(threads=1, num_gpus=0)
    given = replica_options(job, None, resources, None)  # type: ignore[arg-type]

    (tmp_path / "of the driver").rename(tmp_path / "out of sight")
    monkeypatch.setenv("MIXTRAY_CACHE", str(tmp_path / "of the machine"))
    engine = load_engine(given)
    [completion] = engine.generate([[1, 733, 16289]], SamplingParams(max_new_tokens=5))
    assert completion.token_ids == checkpoint.generate([1, 733, 16289], 5)
    [weights] = (tmp_path / "of the machine").rglob("model.safetensors")
    assert checkpoint_fingerprint(weights.parent) == job.spec["checkpoint"]

    write("memory://replicas/generation_config.json", b'{"eos_token_id": 7}')
    with pytest.raises(ConfigError, match=r"^model\.path: memory://replicas: it is another checkpoint than"):
        load_engine(given)


def test_a_gpu_that_was_given_and_that_torch_does_not_see_is_an_error(make_config: MakeConfig) -> None:
    """torch here is built for CPUs; a run on one would be 93 GB of bfloat16 read as 187 of float32."""
    with pytest.raises(ConfigError, match=r"^model: Ray gave this replica GPUs of .+; device gpu: torch"):
        load_engine(options(make_config([]), on_gpus=True))


def test_a_replica_without_a_gpu_runs_on_cpus_though_torch_sees_one(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert load_engine(options(make_config([]))).ranks.local.device.type == "cpu"


def test_a_longest_row_that_memory_does_not_hold_is_an_error_of_the_job(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.machine.budget.available_bytes", lambda: 1 << 10)
    with pytest.raises(ConfigError, match=r"memory does not suffice on .* one row of 256 tokens"):
        load_engine(options(make_config([]), least_cache_tokens=256))


@pytest.mark.parametrize("native", [True, False])
def test_bfloat16_is_computed_where_it_is_emulated_and_said(
    make_config: MakeConfig,
    checkpoint: Any,
    native: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("pipeline.replicas.load_engine.has_native_bfloat16", lambda: native)
    config = make_config([], model={"path": str(checkpoint.folder), "dtype": "bfloat16"})
    with caplog.at_level(logging.WARNING):
        assert load_engine(options(config)).path["dtype"] == "bfloat16"
    assert bool([said for said in caplog.messages if "which this processor only emulates" in said]) != native


def test_generation_ends_at_the_end_that_only_the_tokenizer_names(
    make_config: MakeConfig, checkpoint: Any, tmp_path: Path
) -> None:
    """config.json says 2; the tokenizer's eos is a token that the model says third."""
    prompt = [1, 733, 16289]
    said = checkpoint.generate(prompt, 8)
    third = said[2]
    assert third not in said[:2]
    folder = tmp_path / "chatml"
    shutil.copytree(checkpoint.folder, folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    decoder = {str(third): {"content": "<|im_end|>", "special": True}}
    settings |= {"eos_token": "<|im_end|>", "added_tokens_decoder": decoder}
    del settings["chat_template"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    job = check_job(make_config([], model={"path": str(folder)}, engine={"kv_cache_tokens": 320}))
    resources: Any = SimpleNamespace(threads=1, num_gpus=0)
    engine = load_engine(replica_options(job, None, resources, None))  # type: ignore[arg-type]
    [completion] = engine.generate([prompt], SamplingParams(max_new_tokens=8))
    assert (completion.token_ids, completion.finish_reason) == (said[:3], "stop")

    section = GenerationSection(stop=["<|im_end|>"], ignore_eos=True, max_new_tokens=8)
    rows = Generate(section).requests(job.prompt_format)
    params = Generate(section).row_params({}, len(prompt), 256)
    request, finish = rows.start("row", prompt, params)
    [completion] = engine.run([request])
    outcome = finish(completion).values
    assert job.prompt_format is not None
    assert outcome["token_ids"] == said[:3], "a stop string that is a token's text stops at the token"
    assert outcome["text"] == job.prompt_format.tokenizer.decode(said[:2])
