"""A Google Cloud Storage on this machine: gcp-storage-emulator, and conditions, tokens and pages."""

import json
import logging
import threading
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.server import RequestHandler, Router
from gcp_storage_emulator.storage import Storage

TOKEN = "canary-token"
MOST_OF_A_PAGE = 1000
logging.getLogger("gcp_storage_emulator").setLevel(logging.CRITICAL)  # a refusal is no error here


@contextmanager
def gcs_server(keeps_conditions: bool = True) -> Iterator[str]:
    """Its URL; without conditions it is the emulator as it comes, and creates one object twice."""
    server = _Server(("127.0.0.1", 0), partial(_Handler, _Storage(keeps_conditions)))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def new_bucket(endpoint: str) -> str:
    name = f"test-{uuid.uuid4().hex[:12]}"
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    data = json.dumps({"name": name}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/storage/v1/b", data, headers)).close()
    return name


def service_account(folder: Path, endpoint: str) -> Path:
    """The file that GOOGLE_APPLICATION_CREDENTIALS names: a key, for which the server gives tokens."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account",
        "project_id": "test",
        "client_email": "canary@test",
        "private_key": key.decode(),
        "token_uri": f"{endpoint}/token",
    }
    path = folder / "account.json"
    path.write_text(json.dumps(account))
    return path


class _PreconditionFailed(Exception):
    pass


class _Storage(Storage):  # type: ignore[misc]
    """Refuses to create what is there, if a request says `ifGenerationMatch=0`."""

    def __init__(self, keeps_conditions: bool) -> None:
        super().__init__(use_memory_fs=True)
        self.keeps_conditions = keeps_conditions
        self.only_if_new = False  # of the request that is served: it is one at a time

    def create_file(self, bucket: str, name: str, *content: Any) -> None:
        self._check(bucket, name)
        super().create_file(bucket, name, *content)

    def create_resumable_upload(self, bucket: str, name: str, resource: Any) -> Any:
        self._check(bucket, name)
        return super().create_resumable_upload(bucket, name, resource)

    def _check(self, bucket: str, name: str) -> None:
        if self.keeps_conditions and self.only_if_new and name in self.objects.get(bucket, {}):
            raise _PreconditionFailed

    def _write_config_to_file(self) -> None:
        """It is never read again, and grows with every object."""


class _Handler(RequestHandler):  # type: ignore[misc]
    def _serve(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/token":
            self._answer(200, {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})
        elif self.headers["Authorization"] != f"Bearer {TOKEN}":
            self._answer(401, {"error": {"code": 401, "message": "canary-server: who are you?"}})
        elif self.command == "GET" and url.path.endswith("/o"):
            self._list(url.path.split("/")[-2], dict(parse_qsl(url.query)))
        else:
            self.storage.only_if_new = parse_qs(url.query).get("ifGenerationMatch") == ["0"]
            try:
                Router(self).handle(self.command)
            except _PreconditionFailed:
                self._answer(412, {"error": {"code": 412, "message": "At least one condition did not hold."}})

    do_GET = do_POST = do_PUT = do_DELETE = _serve

    def _list(self, bucket: str, asked: dict[str, str]) -> None:
        try:
            items, prefixes = self.storage.get_file_list(bucket, asked.get("prefix"), asked.get("delimiter"))
        except NotFound:
            self._answer(404, {"error": {"code": 404, "message": "Not Found"}})
            return
        first, end = asked.get("pageToken") or asked.get("startOffset", ""), asked.get("endOffset")
        items = [item for item in items if first <= item["name"] and (not end or item["name"] < end)]
        answer = {"kind": "storage#objects", "prefixes": prefixes, "items": items[:MOST_OF_A_PAGE]}
        if items[MOST_OF_A_PAGE:]:
            answer["nextPageToken"] = items[MOST_OF_A_PAGE]["name"]
        self._answer(200, answer)

    def _answer(self, status: int, what: dict[str, Any]) -> None:
        data = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class _Server(HTTPServer):
    """One request at a time: what a request looks for and what it writes are one step, as they are in GCS."""

    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left does not wait for the answer."""
