"""The number type of a job: its first run decides what `model.dtype: auto` stands for, its spec keeps it.

So later runs compute alike, on whatever machine they are started.
"""

import json
from typing import get_args

import ray

from model.config import ModelConfig
from model.machine.device import auto_dtype, default_device
from pipeline.cluster.devices import is_joined, nodes, uses_gpus
from pipeline.cluster.session import look_at_cluster
from pipeline.config.job import JobConfig
from pipeline.config.model import ModelSection
from pipeline.durable.job_spec import SPEC
from pipeline.durable.operations import Read, apply
from pipeline.storage.open_store import open_store

_NAMES = {*get_args(ModelSection.model_fields["dtype"].annotation)} - {"auto"}


def with_number_type(config: JobConfig, model: ModelConfig) -> JobConfig:
    """The job with a number type in place of `auto`."""
    if config.model.dtype != "auto":
        return config
    dtype = _of_first_run(config) or _decided(config, model)
    return config.model_copy(update={"model": config.model.model_copy(update={"dtype": dtype})})


def _of_first_run(config: JobConfig) -> str | None:
    stored = apply(Read(SPEC), open_store(config.output.path))
    try:
        dtype = json.loads(stored)["config"]["model"]["dtype"] if stored is not None else None
    except (ValueError, KeyError, TypeError, RecursionError):  # not one of ours: the run will say so
        return None
    return dtype if dtype in _NAMES else None


def _decided(config: JobConfig, model: ModelConfig) -> str:
    if config.model.quantization == "int8":
        return "float32"
    on_gpu, on_cpu = auto_dtype(model.dtype, "cuda"), auto_dtype(model.dtype, "cpu")
    if on_gpu == on_cpu:
        return on_cpu
    return on_gpu if will_use_gpus(config) else on_cpu


def will_use_gpus(config: JobConfig) -> bool:
    """Whether the job's replicas will take GPUs: asks the cluster, but starts no Ray to find out.

    JobError if the cluster can't be reached.
    """
    if config.engine.device != "auto":
        return config.engine.device == "gpu"
    if ray.is_initialized() or is_joined():
        look_at_cluster()
        return uses_gpus(config, nodes())
    return default_device().type == "cuda"
