"""What does not fit is refused with numbers before anything loads."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.random_checkpoint import SIZES
from model.checkpoint.load import check_checkpoint
from model.config import FewBits, ModelConfig
from model.machine.budget import weight_bytes
from pipeline.cluster.devices import Offer
from pipeline.cluster.resources import Resources
from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError
from pipeline.preflight.job import Job, check_job
from pipeline.preflight.memory_forecast import forecast_memory, require_memory
from tests.model.checkpoint.quantized.large_upload import write_large
from tests.model.checkpoint.quantized.quantized_upload import write_upload
from tests.model.checkpoint.quantized.test_bitsandbytes import EIGHT, eight_bits

GIB = 1 << 30
MakeConfig = Callable[..., JobConfig]
Nodes = Callable[..., None]


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Nodes:
    """Makes this process a member of a cluster of nodes with these resources."""

    def consist_of(*resources: dict[str, float]) -> None:
        monkeypatch.setattr("ray.nodes", lambda: [{"Alive": True, "Resources": each} for each in resources])

    monkeypatch.setenv("RAY_ADDRESS", "auto")
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    monkeypatch.setattr("pipeline.preflight.memory_forecast.offered_gpus", lambda: [])
    return consist_of


@pytest.fixture
def mixtral_8x7b(make_config: MakeConfig, nodes: Nodes) -> Callable[..., Job]:
    """A job with the sizes of Mixtral-8x7B, on so many GPUs, and its section `engine`."""
    nodes({"CPU": 8})
    sizes = SIZES["8x7b"] | {"max_position_embeddings": 32768}
    job = check_job(make_config([]))

    def make(ranks: int, dtype: str = "bfloat16", **engine: Any) -> Job:
        section = job.config.model.model_copy(update={"tensor_parallel": ranks, "dtype": dtype})
        sizes_of_engine = job.config.engine.model_copy(update=engine)
        config = job.config.model_copy(update={"model": section, "engine": sizes_of_engine})
        return replace(job, config=config, model=ModelConfig.from_dict(sizes), least_cache_tokens=32768)

    return make


def test_8x7b_does_not_fit_one_card_of_80_gb_but_two(mixtral_8x7b: Callable[..., Job], nodes: Nodes) -> None:
    nodes({"CPU": 64, "GPU": 8, "accelerator_type:A100": 1}, {"CPU": 4, "memory": GIB})
    on_one, on_two = (Resources(1, num_gpus=ranks, threads=1, ray_tasks=1) for ranks in (1, 2))
    expected = (
        r"memory: the model does not fit: 92\.1 GiB \(weights 87\.0 GiB, cache 4\.0 GiB, a step 1\.1 GiB\) "
        r"at least on a GPU in bfloat16; the largest \(A100\) has 80\.0 GiB; raise model\.tensor_parallel"
    )
    with pytest.raises(ConfigError, match=expected):
        require_memory(mixtral_8x7b(1), on_one)
    require_memory(mixtral_8x7b(2), on_two)
    half = forecast_memory(mixtral_8x7b(2), on_gpus=True)
    assert str(half).startswith(
        "46.2 GiB (weights 43.5 GiB, cache 2.0 GiB, a step 0.7 GiB) at least on each of 2 GPUs in bfloat16"
    )
    with pytest.raises(ConfigError, match=r"cache 38.1 GiB, .* lower engine\.kv_cache_tokens"):
        require_memory(mixtral_8x7b(2, kv_cache_tokens=625_000), on_two)
    nodes({"CPU": 64, "GPU": 8, "accelerator_type:H200": 1})
    require_memory(mixtral_8x7b(1), on_one)
    with pytest.raises(ConfigError, match=r"cache 61\.0 GiB"):
        require_memory(mixtral_8x7b(1, kv_cache_tokens=500_000), on_one)


@pytest.mark.parametrize("quantization", ["int4", "nf4"])
def test_8x7b_in_4_bits_takes_27_gb(mixtral_8x7b: Callable[..., Job], quantization: str) -> None:
    job = mixtral_8x7b(1)
    section = job.config.model.model_copy(update={"quantization": quantization})
    few = replace(job, config=job.config.model_copy(update={"model": section}))
    forecast = forecast_memory(few, on_gpus=True)
    assert forecast.needed.weights < 27e9
    assert str(forecast).startswith("29.9 GiB (weights 24.8 GiB, cache 4.0 GiB, a step 1.1 GiB)")
    assert f"on a GPU in {quantization};" in str(forecast)


@pytest.mark.parametrize("name", ["awq", "nf4"])
def test_an_upload_in_4_bits_needs_what_is_stored(
    mixtral_8x7b: Callable[..., Job], name: str, tmp_path: Path
) -> None:
    upload = replace(mixtral_8x7b(1), model=check_checkpoint(write_large(tmp_path, name)))
    forecast = forecast_memory(upload, on_gpus=True)
    assert forecast.needed.weights < 27e9
    assert str(forecast).startswith("29.9 GiB (weights 24.8 GiB, cache 4.0 GiB, a step 1.1 GiB)")


def test_a_job_knows_what_its_upload_takes(make_config: MakeConfig, tmp_path: Path) -> None:
    """Though config.json says nothing of bits: `plan` and a run ask for the same."""
    folder, _ = write_upload(eight_bits, EIGHT, Path("configs/demo/tiny-mixtral"), tmp_path / "upload")
    job = check_job(make_config([], model={"path": str(folder)}))
    assert job.model.few_bits == check_checkpoint(folder).few_bits
    weights = forecast_memory(job, on_gpus=False).needed.weights
    assert weights == weight_bytes(job.model, torch.float32)
    assert weights < 0.4 * weight_bytes(replace(job.model, few_bits=FewBits()), torch.float32)


def test_what_is_not_known_is_not_refused(
    mixtral_8x7b: Callable[..., Job], nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def room(*resources: dict[str, float], ranks: int = 1) -> int | None:
        nodes(*resources)
        return forecast_memory(mixtral_8x7b(ranks), on_gpus=True).room

    assert room({"GPU": 1, "accelerator_type:A100": 1}, {"GPU": 1, "accelerator_type:T4": 1}) == 80 * GIB
    assert room({"GPU": 1, "accelerator_type:A100": 1}, {"GPU": 2, "accelerator_type:T4": 1}, ranks=2) == (
        16 * GIB
    ), "only the second has two"
    assert room({"GPU": 1}) is None
    assert room({"GPU": 1, "accelerator_type:NEW": 1}) is None
    assert room({"CPU": 1}) is None
    monkeypatch.setattr("pipeline.preflight.memory_forecast.offered_gpus", lambda: [Offer(8, 1)])
    assert room({"GPU": 1, "accelerator_type:A100": 1}) is None


def test_on_cpus_a_node_must_hold_its_replicas(mixtral_8x7b: Callable[..., Job], nodes: Nodes) -> None:
    def require(replicas: int, dtype: str = "bfloat16", **engine: int) -> None:
        planned = Resources(replicas, num_gpus=0, threads=1, ray_tasks=1)
        require_memory(mixtral_8x7b(1, dtype, **engine), planned)

    nodes({"CPU": 8, "memory": 70 * GIB, "object_store_memory": 30 * GIB}, {"CPU": 2, "memory": 20 * GIB})
    require(2)
    with pytest.raises(ConfigError, match=r"at least on a node with 2 replicas in .*lower engine\.replicas"):
        require(3)
    with pytest.raises(
        ConfigError, match=r"weights 174\.0 GiB, .* the largest node has 100\.0 GiB; use a small"
    ):
        require(1, "float32")
    require(1, kv_cache_tokens=800_000)  # 98 GiB, which rows may never fill
    with pytest.raises(ConfigError, match=r"cache 109\.9 GiB, .*lower engine\.kv_cache_tokens"):
        require(1, kv_cache_tokens=900_000)


def test_a_label_job_reserves_a_cache_for_what_prompts_share_alone(make_config: MakeConfig) -> None:
    label = {"task": "label", "label": {"choices": ["good", "bad"]}, "prompt": {"column": "text"}}
    label["output"] = {"path": "out"}
    job = check_job(make_config([], **label))
    assert (job.config.engine.kv_cache_tokens, job.least_cache_tokens) == (16_384, 1)
    token = 2 * 3 * 2 * 8 * 4  # keys and values, layers, heads, their width, bytes of float32
    assert forecast_memory(job, on_gpus=True).needed.cache == 16_384 * token
    assert (
        check_job(make_config([], **label, engine={"kv_cache_tokens": 7})).config.engine.kv_cache_tokens == 7
    )
    generate = check_job(make_config([]))
    assert (generate.config.engine.kv_cache_tokens, generate.least_cache_tokens) == ("auto", 256)


def test_without_a_cluster_the_room_is_this_machine_s(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("pipeline.preflight.memory_forecast.available_bytes", lambda: 5 << 20)
    job = check_job(make_config([]))
    memory = forecast_memory(job, on_gpus=False)
    assert not memory.fits
    assert str(memory).endswith("at least on a node in float32; this machine has 5.0 MiB")
    unknown = forecast_memory(job, on_gpus=True)
    assert (unknown.fits, unknown.room) == (True, None)
    assert json.dumps(str(unknown)).endswith('no GPU is seen here"')
