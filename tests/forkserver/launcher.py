"""Takes the place of Ray's setup_worker.py: raylets run it to start a worker, and the fork server forks it.

Ray's own setup_worker.py starts workers with a runtime environment: those of submitted jobs.
"""

import json
import os
import socket
import sys
from pathlib import Path

CONTEXT = "--serialized-runtime-env-context="
SOCKET_VARIABLE = "TESTS_FORK_SERVER"  # holds the path of the fork server's socket


def ask(argv: list[str], environment: dict[str, str], outputs: tuple[int, int], wait: bool) -> socket.socket:
    """Have the fork server run `argv`.

    With `wait`, the process id and later the exit code can be read from the connection, a line each.
    """
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(environment[SOCKET_VARIABLE])
    socket.send_fds(connection, [b"."], outputs)
    connection.sendall(json.dumps({"argv": argv, "environment": environment, "wait": wait}).encode())
    connection.shutdown(socket.SHUT_WR)
    return connection


if __name__ == "__main__":
    worker, *arguments = [argument for argument in sys.argv[1:] if not argument.startswith("--language=")]
    if any(argument.startswith(CONTEXT) for argument in arguments):
        os.execv(sys.executable, [sys.executable, Path(worker).with_name("setup_worker.py"), *sys.argv[1:]])
    ask([worker, *arguments], dict(os.environ), (1, 2), wait=False)
