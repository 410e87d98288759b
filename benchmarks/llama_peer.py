"""llama.cpp's server on a workload: all rows are requested at once, and the server runs one in each slot."""

import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from benchmarks.workload import Workload

_SECONDS_TO_START = 300
_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # ignores proxies


@dataclass(frozen=True)
class Server:
    url: str
    process: psutil.Process

    def generate(self, workload: Workload) -> list[list[int]]:
        """The rows' tokens, chosen greedily."""
        rows = zip(workload.prompts, workload.new_tokens, strict=True)
        with ThreadPoolExecutor(len(workload.prompts)) as requests:
            return [*requests.map(lambda row: self._complete(*row), rows)]

    def _complete(self, prompt: list[int], new_tokens: int) -> list[int]:
        asked = {
            "prompt": prompt,
            "n_predict": new_tokens,
            "temperature": 0.0,
            "ignore_eos": True,
            "return_tokens": True,
            "cache_prompt": False,
        }
        body = json.dumps(asked).encode()
        request = urllib.request.Request(f"{self.url}/completion", body, {"Content-Type": "application/json"})
        with _DIRECTLY.open(request) as answer:
            tokens: list[int] = json.load(answer)["tokens"]
        if len(tokens) != new_tokens:
            raise RuntimeError(f"llama.cpp's server gave {len(tokens)} tokens instead of {new_tokens}")
        return tokens

    def cpu_seconds(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextmanager
def running(
    program: str,
    gguf: Path,
    longest: int,
    slots: int,
    threads: int,
    dtype: torch.dtype = torch.float32,
) -> Iterator[Server]:
    """A server that has loaded the weights, with a cache of `longest` tokens in `dtype` for each slot.

    RuntimeError, with its last words, if it does not come up.
    """
    port = _free_port()
    cache = {torch.float32: "f32", torch.bfloat16: "bf16"}[dtype]
    command = [
        program, "--model", str(gguf), "--host", "127.0.0.1", "--port", str(port),
        "--parallel", str(slots), "--ctx-size", str(slots * longest),
        "--threads", str(threads), "--threads-batch", str(threads),
        "--cache-type-k", cache, "--cache-type-v", cache, "--cache-ram", "0",
    ]  # fmt: skip
    log = gguf.with_name("server.log")
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            server = Server(f"http://127.0.0.1:{port}", psutil.Process(process.pid))
            _wait_until_loaded(server.url, process, log)
            yield server
        finally:
            process.kill()
            process.wait()


def _wait_until_loaded(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _SECONDS_TO_START
    while True:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"llama.cpp's server: {log.read_text(errors='replace')[-2000:]}")
        try:
            with _DIRECTLY.open(f"{url}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
