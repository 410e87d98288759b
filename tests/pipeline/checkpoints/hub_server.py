"""A server on loopback that answers as the Hugging Face hub does, for repositories that lie in folders.

It knows what huggingface_hub asks to list and fetch models: info, tree, files with etags, weights by a
redirect, ranges, and the error codes of what is absent, gated or unknown.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_canaryTokenOfThisTest"
GATED = "acme/gated"  # info for all, files with the token alone


@dataclass
class Hub:
    endpoint: str = ""
    repositories: dict[str, Path] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)  # names of files that went out, each once
    ranges: bool = True  # whether it reads them

    @contextmanager
    def serving(self) -> Iterator["Hub"]:
        handler = type("Handler", (_Handler,), {"hub": self})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield self
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self.headers.get("Authorization") not in (None, f"Bearer {TOKEN}"):
            self._send(401, headers={"X-Error-Message": "Invalid credentials in Authorization header"})
            return
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts[0] == "cdn":
            self._send_file("/".join(parts[1:3]), parts[3])
        elif parts[:2] == ["api", "models"]:
            self._api("/".join(parts[2:4]), parts[4:])
        elif parts[2:3] == ["resolve"]:
            self._resolve("/".join(parts[:2]), parts[4])
        else:
            self._send(404)

    def _api(self, repository: str, rest: list[str]) -> None:
        folder = self.hub.repositories.get(repository)
        if folder is None:
            self._send(401, headers={"X-Error-Code": "RepoNotFound"})
        elif rest[1:] and rest[1] not in ("main", COMMIT):
            self._send(404, headers={"X-Error-Code": "RevisionNotFound"})
        elif rest[:1] == ["tree"]:
            entries = [
                {
                    "type": "file",
                    "path": str(f.relative_to(folder)),
                    "size": f.stat().st_size,
                    "oid": _hash(f)[:40],
                }
                for f in _files(folder)
            ]
            self._send(200, json.dumps(entries).encode())
        else:
            files = [{"rfilename": str(file.relative_to(folder))} for file in _files(folder)]
            self._send(200, json.dumps({"id": repository, "sha": COMMIT, "siblings": files}).encode())

    def _resolve(self, repository: str, name: str) -> None:
        file = self.hub.repositories[repository] / name
        if repository == GATED and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._send(403, headers={"X-Error-Code": "GatedRepo"})
        elif name.endswith(".safetensors"):
            linked = {"X-Linked-ETag": f'"{_hash(file)}"', "X-Linked-Size": str(file.stat().st_size)}
            location = {"Location": f"{self.hub.endpoint}/cdn/{repository}/{name}"}
            self._send(302, headers={"X-Repo-Commit": COMMIT, **linked, **location})
        else:
            self._send_file(repository, name)

    def _send_file(self, repository: str, name: str) -> None:
        data = (self.hub.repositories[repository] / name).read_bytes()
        if self.command == "GET" and name not in self.hub.fetched:
            self.hub.fetched.append(name)
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha256(data).hexdigest()}"'}
        asked = self.headers.get("Range") if self.hub.ranges else None
        if asked is None:
            self._send(200, data, headers)
            return
        first, _, last = asked.removeprefix("bytes=").partition("-")
        part = data[int(first) : int(last or len(data)) + 1]
        if not part:
            self._send(416)
            return
        headers["Content-Range"] = f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}"
        self._send(206, part, headers)

    def _send(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the tests' output is no access log."""


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
