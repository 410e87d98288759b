"""What `model.dtype: auto` is in a job, and that it stays so."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.job import JobConfig
from pipeline.durable.job_spec import spec_bytes
from pipeline.preflight.job import Job, check_job
from pipeline.preflight.number_type import will_use_gpus


@pytest.fixture
def dtype(
    make_config: Callable[..., JobConfig], checkpoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Of a job on a machine with or without native bfloat16, whose checkpoint is stored in this type."""

    def found(stored: str, native: bool, **sections: Any) -> str:
        folder = tmp_path / stored
        if not folder.exists():
            folder.mkdir()
            for file in checkpoint.folder.iterdir():
                (folder / file.name).symlink_to(file)
            (folder / "config.json").unlink()
            config = json.loads((checkpoint.folder / "config.json").read_text())
            (folder / "config.json").write_text(json.dumps(config | {"dtype": stored}))
        monkeypatch.setattr("model.machine.device.has_native_bfloat16", lambda: native)
        model = {"path": str(folder)} | sections.pop("model", {})
        job = check_job(make_config([], model=model, **sections))
        return in_spec(job)

    return found


def in_spec(job: Job) -> str:
    config: Any = job.spec["config"]
    assert config["model"]["dtype"] == job.config.model.dtype
    return job.config.model.dtype


@pytest.mark.parametrize(
    ("stored", "native", "sections", "expected"),
    [
        ("bfloat16", True, {}, "bfloat16"),
        ("bfloat16", False, {}, "float32"),
        ("float16", True, {}, "float32"),
        ("float32", True, {}, "float32"),
        ("bfloat16", True, {"model": {"dtype": "float32"}}, "float32"),
        ("bfloat16", True, {"model": {"quantization": "int8"}}, "float32"),
        ("bfloat16", False, {"engine": {"device": "gpu"}}, "bfloat16"),
        ("float16", False, {"engine": {"device": "gpu"}}, "float16"),
        ("bfloat16", False, {"engine": {"device": "cpu"}}, "float32"),
    ],
)
def test_auto_is_decided_for_the_whole_job(
    dtype: Callable[..., str], stored: str, native: bool, sections: Any, expected: str
) -> None:
    assert dtype(stored, native, **sections) == expected


def test_a_later_run_computes_as_the_first_one_did(dtype: Callable[..., str], tmp_path: Path) -> None:
    assert dtype("bfloat16", native=True) == "bfloat16"
    spec = tmp_path / "out" / "_job" / "spec.json"
    spec.parent.mkdir(parents=True)
    spec.write_bytes(spec_bytes({"config": {"model": {"dtype": "bfloat16"}}}))
    assert dtype("bfloat16", native=False) == "bfloat16"
    assert dtype("bfloat16", native=False, model={"dtype": "float32"}) == "float32", "it was asked for"
    for other in ("{", "{}", '{"config": 5}', '{"config": {"model": {"dtype": "auto"}}}'):
        spec.write_text(other)
        assert dtype("bfloat16", native=False) == "float32"


def test_gpus_of_a_cluster_decide(
    dtype: Callable[..., str], make_config: Callable[..., JobConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    resources: dict[str, float] = {"CPU": 4}
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    monkeypatch.setattr("ray.nodes", lambda: [{"Alive": True, "Resources": resources}])
    assert not will_use_gpus(make_config([]))
    assert dtype("bfloat16", native=False) == "float32"
    resources["GPU"] = 1
    assert will_use_gpus(make_config([]))
    assert dtype("bfloat16", native=False) == "bfloat16"
    assert dtype("bfloat16", native=False, engine={"device": "cpu"}) == "float32"
