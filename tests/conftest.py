"""What whole jobs are tested with: a tiny random Mixtral and transformers' model of it, Ray, S3 and GCS."""

import json
import os
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
import ray
import torch
from hypothesis import settings
from moto.s3.responses import S3Response
from moto.server import ThreadedMotoServer
from transformers import MixtralConfig, MixtralForCausalLM
from transformers.utils import logging

from pipeline.config.job import JobConfig
from tests.forkserver.fork_server import LAUNCHER, ForkServer
from tests.job_server import DEMO, JobServer
from tests.pipeline.storage.gcs_server import gcs_server, new_bucket, service_account
from tests.ray_head import WITHOUT_TOKEN, Head, ray_head, token, wait_for_port

os.environ.setdefault("RAY_TMPDIR", "/tmp")  # paths of sockets may be 107 characters long at most
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_worker_niceness", "0")  # nicer workers would wait for the suite
# Ray would end a worker after a second without work; in a cluster that tests share, the next job needs it.
os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", "60000")
os.environ.setdefault("RAY_num_workers_soft_limit", "6")
logging.disable_progress_bar()

# The suite tries the same examples every time; `pytest --hypothesis-profile explore` tries new ones.
settings.register_profile("steady", derandomize=True, deadline=None)  # a busy machine is no failure
settings.register_profile("explore", print_blob=True, deadline=None)
settings.load_profile("steady")


SHARED = ("fork_server", "cluster")


@pytest.hookimpl(tryfirst=True)  # xdist's own hook then finds the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One process of the suite runs all tests that share a fork server, so that it is started once.

    The tests of any other module stay in one process too, since they share fixtures. Those of
    tests/simulation are spread over all processes, since each takes long.
    """
    for item in items:
        assert isinstance(item, pytest.Function)
        shared = [name for name in SHARED if name in item.fixturenames]
        file = item.nodeid.partition("::")[0]
        if shared or not file.startswith("tests/simulation/"):
            item.add_marker(pytest.mark.xdist_group(shared[0] if shared else file))


@dataclass(frozen=True)
class HFCheckpoint:
    folder: Path
    model: MixtralForCausalLM

    @torch.inference_mode()
    def generate(self, prompt: list[int], max_new_tokens: int) -> list[int]:
        ids = torch.tensor([prompt])
        output = self.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_new_tokens, do_sample=False
        )
        tokens: list[int] = output[0, len(prompt) :].tolist()
        return tokens

    @torch.inference_mode()
    def logprobs(self, prompt: list[int], continuation: list[int]) -> list[float]:
        """The log-probability of each token of the continuation."""
        table = self.model(torch.tensor([prompt + continuation])).logits[0].double().log_softmax(-1)
        return [float(table[len(prompt) - 1 + i, token]) for i, token in enumerate(continuation)]

    @torch.inference_mode()
    def chosen(self, token_ids: list[int]) -> np.ndarray:
        """Experts chosen at every token, [L, T, 2]."""
        output = self.model(torch.tensor([token_ids]), output_router_logits=True)
        return torch.stack(output.router_logits).topk(2).indices.numpy()


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> HFCheckpoint:
    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(0)
    model = MixtralForCausalLM(
        MixtralConfig(
            vocab_size=32_000,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            num_local_experts=4,
            max_position_embeddings=256,
            rms_norm_eps=1e-5,
            sliding_window=None,
            initializer_range=0.3,
            eos_token_id=2,
            pad_token_id=None,
        )
    ).eval()
    model.save_pretrained(folder)
    source = files("mistral_common") / "data" / "tokenizer.model.v1"
    shutil.copy(str(source), folder / "tokenizer.model")
    template = Path(__file__).parent / "pipeline/text/chat_formats/mixtral-8x7b-instruct-old.jinja"
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": template.read_text()}))
    return HFCheckpoint(folder, model)


def new_fork_server(tmp_path_factory: pytest.TempPathFactory, auth: Mapping[str, str]) -> ForkServer:
    return ForkServer(tmp_path_factory.mktemp("fork_server") / "socket", auth)


@pytest.fixture(scope="session")
def fork_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    """A fork server for workers of Rays that need no token."""
    with new_fork_server(tmp_path_factory, WITHOUT_TOKEN) as fork_server:
        yield fork_server


@pytest.fixture(scope="session")
def local_ray(fork_server: ForkServer) -> Iterator[None]:
    """One Ray for all tests that run jobs in this process."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in fork_server.environment.items():
            patch.setenv(name, value)
        patch.setattr("ray._private.ray_constants.SETUP_WORKER_FILENAME", LAUNCHER)
        ray.init("local", num_cpus=2, _memory=16 << 30, include_dashboard=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """A Ray cluster that tests share, as an operator starts it; with a token, and its job server is up."""
    auth = token()
    with (
        new_fork_server(tmp_path_factory, auth) as fork_server,
        ray_head(auth, fork_server=fork_server) as head,
    ):
        wait_for_port(head.dashboard)  # the dashboard is up last
        yield head


@pytest.fixture(scope="session")
def job_server(cluster: Head) -> JobServer:
    return JobServer(cluster)


@pytest.fixture(scope="session")
def demo_output(job_server: JobServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the demo job leaves when it is submitted; tests must not change it."""
    out = tmp_path_factory.mktemp("demo") / "out"
    assert "succeeded" in job_server.submit(DEMO, out)
    return out


@pytest.fixture
def make_config(tmp_path: Path, checkpoint: HFCheckpoint) -> Callable[..., JobConfig]:
    """A job over rows in a file of the test's own folder, of one replica; sections given replace the rest."""

    def make(rows: list[Any], **sections: Any) -> JobConfig:
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        (tmp_path / "rows.jsonl").write_text("".join(line + "\n" for line in lines))
        prompt = sections.pop("prompt", {"token_ids": "ids"})
        include = ["token_ids"] if sections.get("task", "generate") == "generate" else []
        data = {
            "job": "test",
            "task": "generate",
            "model": {"path": str(checkpoint.folder)},
            "output": {"path": str(tmp_path / "out"), "include": include},
            **sections,
        }
        given = {"path": str(tmp_path / "rows.jsonl"), "prompt": prompt, "shard_rows": 8}
        data["input"] = given | sections.get("input", {})
        data["engine"] = {"replicas": 1} | sections.get("engine", {})
        return JobConfig.model_validate(data)

    return make


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """A local S3 server, and the environment in which this process and its children reach it."""
    lock = threading.Lock()
    put_object = S3Response.put_object

    def put_one_at_a_time(self: S3Response) -> object:
        # moto looks for the key and then writes it; S3 does both in one step
        with lock:
            return put_object(self)

    S3Response.put_object = put_one_at_a_time
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test-key",
        "AWS_SECRET_ACCESS_KEY": "canary-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        yield settings["AWS_ENDPOINT_URL"]
    server.stop()
    S3Response.put_object = put_object


@pytest.fixture
def s3_url(s3_endpoint: str) -> str:
    """A folder in a new bucket."""
    bucket = f"test-{uuid.uuid4().hex[:12]}"
    boto3.client("s3", endpoint_url=s3_endpoint).create_bucket(Bucket=bucket)
    return f"s3://{bucket}/folder"


@pytest.fixture(scope="session")
def gcs_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A local GCS server, and the environment in which this process and its children reach it."""
    with gcs_server() as endpoint, pytest.MonkeyPatch.context() as patch:
        account = service_account(tmp_path_factory.mktemp("account"), endpoint)
        patch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
        patch.setenv("STORAGE_EMULATOR_HOST", endpoint)
        yield endpoint


@pytest.fixture
def gcs_url(gcs_endpoint: str) -> str:
    """A folder in a new bucket."""
    return f"gs://{new_bucket(gcs_endpoint)}/folder"
