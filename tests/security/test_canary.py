"""Canaries: strings put where prompts and secrets are, and looked for wherever they must never be.

A whole job runs as a process on an S3 server, through a killed replica or a denied write. What it prints,
what Ray logs, and all that it stores but the generations must be free of every canary. Two other strings must
be where SECURITY.md says, and nowhere else: a value that rows are grouped by, and a comment in the template.
"""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import psutil
import pyarrow.parquet as pq
import pytest
import yaml

from tests.forkserver.fork_server import FORKING, ForkServer
from tests.pipeline.storage.bad_network import BadNetwork

ROOT = Path(__file__).parents[2]
CANARY = "canary"  # every planted string has it
PROMPT = "canary-prompt-7e1f"
GROUP = "counted-3b9d"
TEMPLATE = "commented-86fa"
ROWS: list[dict[str, Any] | str] = [
    *(
        {"text": f"{PROMPT} {n}", "note": f"canary-kept-{n}", "zero": 1, "name": n, "kind": GROUP}
        for n in range(60)
    ),
    {"text": PROMPT, "note": "canary-kept", "zero": 0, "name": "divides by zero"},
    {"text": {"canary-key": PROMPT}, "note": "canary-kept", "zero": "canary", "name": "wrong type"},
    {"text": PROMPT, "note": ["canary-kept"], "zero": 1, "name": {"canary": PROMPT}},
    {"text": PROMPT, "temperature": PROMPT, "zero": 1, "name": "bad parameter"},
    {"text": None, "note": "canary-kept", "zero": 1, "name": "null"},
    {"text": PROMPT * 400, "zero": 1, "name": "too long"},
    {"note": PROMPT, "name": "no text"},
    f'{{"text": "{PROMPT}", "name": "malformed"',
    f'["{PROMPT}"]',
    f'"{PROMPT} \xff',
]
CODES = {
    "TEMPLATE_FAILED", "WRONG_TYPE", "BAD_PARAMETER", "NULL_PROMPT", "PROMPT_TOO_LONG", "MISSING_COLUMN",
    "MALFORMED_JSON", "NOT_AN_OBJECT", "INVALID_UTF8",
}  # fmt: skip


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    """Ray's temporary folder of one run alone, short enough for its sockets."""
    folder = Path(tempfile.mkdtemp(prefix="rc", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def job_file(tmp_path: Path, checkpoint: Any, s3_url: str) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in ROWS]
    fsspec.filesystem("s3").pipe_file(f"{s3_url}/in/rows.jsonl", "\n".join(lines).encode("latin-1"))
    job = {
        "job": "watched",
        "task": "generate",
        "model": {"path": str(checkpoint.folder)},
        "input": {
            "path": f"{s3_url}/in/*.jsonl",
            "prompt": {"template": f"{{{{ text }}}}{{{{ 1 // zero }}}}{{# {TEMPLATE} #}}"},
            "id_column": "name",
            "keep": ["note"],
            "group_by": "kind",
            "shard_rows": 10,
        },
        "generation": {"max_new_tokens": 12, "ignore_eos": True, "columns": ["temperature"]},
        "engine": {"replicas": 1, "max_batch_rows": 2},
        "output": {"path": f"{s3_url}/out", "include": ["prompt"]},
        "errors": {"max_error_rate": 1.0},
    }
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(job))
    return path


def start(
    job_file: Path, ray_folder: Path, endpoint: str, fork_server: ForkServer
) -> "subprocess.Popen[str]":
    secrets = {"AWS_SESSION_TOKEN": "canary-token", "HF_TOKEN": "canary-variable"}
    own = {"AWS_ENDPOINT_URL": endpoint, "RAY_TMPDIR": str(ray_folder), **fork_server.environment}
    return subprocess.Popen(
        [sys.executable, "-m", FORKING, "jobs", "run", str(job_file)],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"} | secrets | own,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def replica_in(fork_server: ForkServer, since: float) -> psutil.Process | None:
    """A replica that was forked after `since`: those of other tests' jobs may not have ended yet."""
    for child in psutil.Process(fork_server.pid).children():
        with suppress(psutil.NoSuchProcess):  # it may have ended by now
            if child.create_time() < since:
                continue
            if "MapWorker(MapBatches(Replica))" in " ".join(child.cmdline()):
                return child
    return None


def leaks_in(ray_folder: Path) -> list[str]:
    files = [path for path in ray_folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert any(path.name.startswith("worker-") for path in files), "Ray's logs are there"
    return [str(path) for path in files if found_in(path.read_bytes().decode("latin-1"))]


def found_in(text: str) -> set[str]:
    """Which of the planted strings are there."""
    return {planted for planted in (CANARY, GROUP, TEMPLATE) if planted in text}


@pytest.mark.slow
def test_a_denied_write_ends_the_job_without_a_word_of_them(
    job_file: Path, ray_folder: Path, s3_url: str, s3_endpoint: str, fork_server: ForkServer
) -> None:
    def fate(method: str, path: str) -> str | None:
        return "denied" if method == "PUT" and "/generations/" in path else None

    with BadNetwork(s3_endpoint, fate) as network:
        denied = start(job_file, ray_folder, network.url, fork_server)
        told, _ = denied.communicate(timeout=200)
    assert denied.returncode == 1, told
    assert "HTTP 403 SignatureDoesNotMatch" in told
    assert not found_in(told)
    assert leaks_in(ray_folder) == []


@pytest.mark.timeout(500)
def test_prompts_and_secrets_are_seen_in_the_generations_only(
    job_file: Path, ray_folder: Path, s3_url: str, s3_endpoint: str, fork_server: ForkServer
) -> None:
    s3 = fsspec.filesystem("s3", use_listings_cache=False)
    out = f"{s3_url}/out"
    began = time.time()
    killed = start(job_file, ray_folder, s3_endpoint, fork_server)
    while (replica := replica_in(fork_server, began)) is None or not s3.glob(f"{out}/generations/*"):
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.2)
    replica.send_signal(signal.SIGKILL)
    told, _ = killed.communicate(timeout=200)
    assert killed.returncode == 0, told
    assert not found_in(told)

    assert leaks_in(ray_folder) == []
    table = pd.read_parquet(f"{out}/generations")
    assert len(table) == len(ROWS)
    assert set(table["error_code"].dropna()) == CODES
    assert not table["error_message"].dropna().str.contains(CANARY).any()
    assert table["prompt"].str.contains(PROMPT).sum() >= 60, "the canaries were there to be leaked"
    assert len(pd.read_parquet(f"{out}/router/experts.parquet")) > 0

    may_hold = {"router": {GROUP}, "_job/router": {GROUP}, "_job/spec.json": {TEMPLATE}}
    seen: set[str] = set()
    for path in s3.find(out):
        data = s3.cat_file(path)
        if path.endswith(".parquet"):
            parquet = pq.ParquetFile(io.BytesIO(data))
            stored = repr(parquet.metadata.metadata)
            if "/generations/" not in path:
                stored += repr(parquet.read().to_pylist())
        else:
            stored = data.decode()
        file = f"s3://{path}".removeprefix(f"{out}/")
        found = found_in(stored)
        assert found <= may_hold.get(file, may_hold.get(file.rpartition("/")[0], set())), file
        seen |= found
    assert seen == {GROUP, TEMPLATE}

    job_file.write_text(job_file.read_text().replace("{{ text }}", "{{ text  }}"))
    told, _ = start(job_file, ray_folder, s3_endpoint, fork_server).communicate(timeout=200)
    assert "this folder holds another job (input.prompt.template: was " in told
    assert found_in(told) == {TEMPLATE}
