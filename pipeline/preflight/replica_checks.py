"""The doctor's checks of the replicas: how many, whether memory holds them, and how they compute."""

from collections.abc import Iterator
from typing import Literal

import ray
import torch

from model.execution.computing_path import expected_path
from model.machine.budget import in_gib
from model.machine.device import compute_dtype, default_device
from pipeline.cluster.devices import is_joined
from pipeline.cluster.resources import memory_holds, plan_resources, replica_bytes
from pipeline.config.job import JobConfig
from pipeline.preflight.job import Job, check_job
from pipeline.preflight.memory_forecast import forecast_memory
from pipeline.preflight.number_type import will_use_gpus
from pipeline.reporting.computed import path_in_words

Level = Literal["ok", "warning", "problem"]


def replicas(config: JobConfig) -> Iterator[tuple[Level, str]]:
    if not ray.is_initialized():
        yield "warning", "not known without a cluster"
        return
    job = check_job(config)
    planned = plan_resources(job.config, job.model)
    many = f"up to {planned.replicas}" if job.config.engine.replicas == "auto" else str(planned.replicas)
    if planned.num_gpus:
        yield "ok", f"{many}; GPUs of each: {planned.num_gpus}"
    else:
        memory = f"{in_gib(replica_bytes(job.config, job.model))} at most"
        text = f"{many}; CPU threads of each: {planned.threads}; its memory: {memory}"
        if memory_holds(planned, job.config, job.model):
            yield "ok", text
        else:
            yield (
                "warning",
                f"{text}, which a node may lack: lower engine.replicas or engine.kv_cache_tokens",
            )
    forecast = forecast_memory(job, planned.num_gpus > 0)
    yield "ok" if forecast.fits else "problem", str(forecast)


def computing(config: JobConfig) -> Iterator[tuple[Level, str]]:
    yield how_computed(check_job(config))


def how_computed(job: Job) -> tuple[Level, str]:
    """By this machine, of which the cluster's nodes may differ."""
    if is_joined() and not ray.is_initialized():
        return "warning", "not known without a cluster"
    model, on_gpus = job.config.model, will_use_gpus(job.config)
    device = default_device() if on_gpus else torch.device("cpu")
    if on_gpus and device.type == "cpu":
        return "ok", f"{model.dtype} on GPUs; no GPU is seen here, so more can't be told"
    try:
        path = expected_path(
            job.model,
            device,
            compute_dtype(model.dtype, job.model, device),
            quantization=model.quantization,
            attention=model.attention,
            tensor_parallel=model.tensor_parallel,
        )
    except ValueError as error:
        return "problem", f"model: {error}"
    return "warning" if {"without_flash", "without_graphs"} & path.keys() else "ok", path_in_words(path)
