"""A Ray cluster of one node with ports and a folder of its own, as `ray start --head` makes it."""

import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.forkserver.fork_server import FORKING, ForkServer

BIN = Path(sys.executable).parent
WITHOUT_TOKEN = {"RAY_AUTH_MODE": "disabled"}


@dataclass(frozen=True)
class Head:
    address: str
    dashboard: str  # the job server, as seen from this machine
    pid: int  # of `ray start`, whose children the cluster's processes are
    auth: Mapping[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """Of a process that is to join the cluster."""
        return environment(self.auth) | {"RAY_ADDRESS": self.address}


def environment(auth: Mapping[str, str]) -> dict[str, str]:
    """Of the cluster's processes, and of those that are to reach it."""
    outer = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    return outer | {"PATH": f"{BIN}:{os.environ['PATH']}", **auth}


def token() -> dict[str, str]:
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid.uuid4().hex}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(url: str, seconds: float = 120) -> None:
    """Until something listens at the URL of a server on this machine."""
    deadline = time.monotonic() + seconds
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", int(url.rpartition(":")[2]))) == 0:
                return
        assert time.monotonic() < deadline, f"nothing listens at {url}"
        time.sleep(0.2)


@contextmanager
def ray_head(
    auth: Mapping[str, str], dashboard_host: str = "127.0.0.1", fork_server: ForkServer | None = None
) -> Iterator[Head]:
    """Kills its own processes in the end, not other clusters': to stop in order takes Ray half a minute.

    Its workers are forked by the fork server, if there is one, which has to have the same `auth`.
    """
    port, gcs, folder = free_port(), free_port(), f"/tmp/ray-{uuid.uuid4().hex[:6]}"
    forking = [FORKING] if fork_server else []
    process = subprocess.Popen(
        [
            sys.executable, "-m", *forking, "ray.scripts.scripts", "start", "--head", "--block",
            "--num-cpus=2", "--disable-usage-stats", f"--port={gcs}", f"--dashboard-port={port}",
            f"--dashboard-agent-listen-port={free_port()}", f"--dashboard-host={dashboard_host}",
            f"--temp-dir={folder}",
        ],
        env=environment(auth) | (fork_server.environment if fork_server else {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield Head(f"127.0.0.1:{gcs}", f"http://127.0.0.1:{port}", process.pid, auth)
    finally:
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # workers end with their raylet
                child.kill()
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
