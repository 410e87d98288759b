"""A network between a client and an S3 server that loses requests and answers, refuses, cuts and delays."""

import random
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

FATES = ("refused", "lost request", "lost answer", "cut answer", "late")
_UNAVAILABLE = b"<Error><Code>ServiceUnavailable</Code><Message>Please try again.</Message></Error>"
_DENIED = (
    b"<Error><Code>SignatureDoesNotMatch</Code><Message>canary-server: the signature is wrong</Message>"
    b"<AWSAccessKeyId>canary-server</AWSAccessKeyId></Error>"
)
_HOP_BY_HOP = {"connection", "expect", "transfer-encoding", "content-length"}

# Of a request, by method and path; None: it passes. Also "denied", and "whole": the range is not looked at.
Fate = Callable[[str, str], str | None]


def seeded(seed: int, chance: float) -> Fate:
    """Each request meets one of FATES with this chance."""
    dice, lock = random.Random(seed), threading.Lock()

    def fate(method: str, path: str) -> str | None:
        with lock:
            return dice.choice(FATES) if dice.random() < chance else None

    return fate


class BadNetwork:
    """Serves at `url` what stands behind `server_url`; `met` counts the fates."""

    def __init__(self, server_url: str, fate: Fate) -> None:
        self.server = urlsplit(server_url).netloc
        self.fate = fate
        self.met: Counter[str] = Counter()
        network = self

        class Handler(_Handler):
            between = network

        self._proxy = _Proxy(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._proxy.server_port}"

    def __enter__(self) -> "BadNetwork":
        threading.Thread(target=self._proxy.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._proxy.shutdown()
        self._proxy.server_close()


class _Proxy(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), (OSError, HTTPException)):  # else a client or the server is gone
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    between: BadNetwork

    def _pass_on(self) -> None:
        body = self._body()
        fate = self.between.fate(self.command, self.path)
        self.between.met[str(fate)] += 1
        if fate == "refused":
            self._answer(503, [], _UNAVAILABLE, len(_UNAVAILABLE))
        elif fate == "denied":
            self._answer(403, [], _DENIED, len(_DENIED))
        elif fate == "lost request":
            self._reset()
        else:
            if fate == "late":
                time.sleep(0.1)
            if fate == "whole":
                del self.headers["Range"]
            status, headers, data, length = self._ask_server(body)
            if fate == "lost answer":
                self._reset()
            elif fate == "cut answer":
                self._answer(status, headers, data[: len(data) // 2], length)
                self._reset()
            else:
                self._answer(status, headers, data, length)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _ask_server(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes, int]:
        connection = HTTPConnection(self.between.server, timeout=30)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        connection.request(self.command, self.path, body, headers | {"Content-Length": str(len(body))})
        answer: HTTPResponse = connection.getresponse()
        data = answer.read()
        connection.close()
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP]
        length = int(answer.headers.get("Content-Length", len(data)))
        return answer.status, kept, data, length

    def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes, length: int) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _reset(self) -> None:
        """End the connection without a word, as a router does that forgot it."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def log_message(self, *what: Any) -> None:
        pass
