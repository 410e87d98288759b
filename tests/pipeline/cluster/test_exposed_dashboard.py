"""A dashboard that answers strangers is found by asking it; the servers here answer on loopback."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pipeline.cluster import exposed_dashboard as module
from pipeline.cluster.exposed_dashboard import exposed_dashboard


@contextmanager
def dashboard(status: int) -> Iterator[int]:
    """One that answers a request for its jobs with this status; gives its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/api/jobs/" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def found(port: int, monkeypatch: pytest.MonkeyPatch, loopback: str = "localhost") -> str | None:
    """What is found of a dashboard that Ray says is on loopback, if 127.0.0.1 is an address beyond it."""
    monkeypatch.setattr(module, "get_webui_url_from_internal_kv", lambda: f"{loopback}:{port}")
    monkeypatch.setattr(module, "_addresses", lambda: ["127.0.0.1"])
    monkeypatch.setattr(module, "_is_loopback", lambda host: host == loopback)
    return exposed_dashboard()


@pytest.mark.parametrize(("status", "exposed"), [(200, True), (401, False), (403, False), (500, True)])
def test_who_answers_without_a_token_is_exposed(
    status: int, exposed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dashboard(status) as port:
        assert found(port, monkeypatch) == (f"127.0.0.1:{port}" if exposed else None)


def test_a_dashboard_on_loopback_alone_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with dashboard(200) as port:
        assert found(port, monkeypatch, loopback="127.0.0.1") is None


def test_no_answer_and_no_dashboard_are_no_exposure(monkeypatch: pytest.MonkeyPatch) -> None:
    with dashboard(200) as port:
        pass
    assert found(port, monkeypatch) is None
    monkeypatch.setattr(module, "get_webui_url_from_internal_kv", lambda: None)
    assert exposed_dashboard() is None


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("10.0.0.7", False), ("head.example", False)],
)
def test_loopback_is_told_from_other_addresses(host: str, loopback: bool) -> None:
    assert module._is_loopback(host) == loopback
