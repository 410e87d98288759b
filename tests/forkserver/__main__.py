"""python -m tests.forkserver SOCKET: forks Ray's workers, and drivers of jobs.

Such a process spends most of its start importing torch, pandas and Ray. A process that is forked from one
with these imports runs the same code, and starts in a tenth of the time.
"""

import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
from contextlib import suppress

# Not ray.data: its import draws random ids of Ray's, so all forked children would draw the same ones.
PRELOADED = (
    "asyncio",
    "attr",
    "fsspec",
    "grpc",
    "jinja2",
    "jsonschema",
    "matplotlib.pyplot",
    "numpy",
    "orjson",
    "pandas",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "pydantic",
    "requests",
    "rich.progress",
    "sentencepiece",
    "torch",
    "typer",
    "yaml",
    "model.engine",
    "pipeline.config.job",
    "pipeline.durable.commit",
    "jobs.arguments",
    "ray",
    "ray._private.workers.default_worker",
    "pipeline.text.tokenization",
    "pipeline.text.templates",
)
# Ray reads these while it is imported. Workers learn their job from their first Ray task, as prestarted ones
# do. They take this process for their raylet, and end when it ends or the raylet's connection closes.
FOR_ALL_WORKERS = {"RAY_JOB_ID": "ffffffff", "RAY_RAYLET_PID": str(os.getpid())}


def serve(path: str) -> tuple[dict[str, object], list[int]]:
    """Take requests for ever; returns in each forked child, with what it is to run and its outputs."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for workers
    gc.freeze()
    while True:
        connection, _ = server.accept()
        if os.fork():
            connection.close()
            continue
        server.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _, outputs, _, _ = socket.recv_fds(connection, 1, 2)
        request = json.loads(connection.makefile("rb").read())
        if request["wait"]:
            _fork_and_tell(connection)
        connection.close()
        return request, list(outputs)


def _fork_and_tell(connection: socket.socket) -> None:
    """Returns in a grandchild alone; the child sends the grandchild's process id and exit code, and ends."""
    child = os.fork()
    if child == 0:
        return
    connection.sendall(f"{child}\n".encode())
    _, status = os.waitpid(child, 0)
    with suppress(BrokenPipeError):  # the soak, which asked, may have ended
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def become(request: dict[str, object], outputs: list[int]) -> None:
    for number, descriptor in enumerate(outputs, start=1):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["environment"])  # type: ignore[call-overload]
    sys.argv = list(request["argv"])  # type: ignore[call-overload]
    if sys.argv[0] == "-m":
        module = sys.argv.pop(1)
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    os.environ.update(FOR_ALL_WORKERS)
    for name in PRELOADED:
        importlib.import_module(name)
    assert "ray.data" not in sys.modules
    become(*serve(sys.argv[1]))
