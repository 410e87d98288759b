"""The audit against a server that speaks OSV's protocol, and the bill of materials against the pins."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.dependencies.audit import audit
from tests.dependencies.sbom import bill_of_materials

ROOT = Path(__file__).parents[2]
WEAKNESS = {
    "id": "GHSA-test", "modified": "2026-01-01T00:00:00Z", "summary": "it is weak",
    "affected": [{"package": {"name": "jinja2", "ecosystem": "PyPI"},
                  "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9.0"}]}]}],
}  # fmt: skip


class _OSV(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = {"vulns": [WEAKNESS]} if query["package"]["name"] == "jinja2" else {}
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *what: object) -> None:
        pass


@pytest.fixture
def osv() -> Iterator[list[str]]:
    """The options that make pip-audit ask a server on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _OSV)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v1/query"
    yield ["--vulnerability-service", "osv", "--osv-url", url]
    server.shutdown()
    server.server_close()


def test_a_known_weakness_fails_and_a_silent_service_says_so(
    tmp_path: Path, osv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    pins = tmp_path / "pins.txt"
    pins.write_text("jinja2==3.1.6\nsix==1.17.0\n")
    nobody = ["--vulnerability-service", "osv", "--osv-url", "http://127.0.0.1:9/v1/query"]
    assert audit(pins, (nobody, osv)) == 1
    told = capsys.readouterr().out
    assert "jinja2 3.1.6: GHSA-test, fixed in 9.0" in told
    assert "audited 2 of 2 packages" in told

    pins.write_text("six==1.17.0\n")
    assert audit(pins, (osv,)) == 0
    assert "audited 1 of 1 packages: 0 weaknesses" in capsys.readouterr().out

    assert audit(pins, (nobody,)) == 0
    assert capsys.readouterr().out.startswith("NOT AUDITED")

    pins.write_text("six is no pin\n")
    with pytest.raises(SystemExit, match="pin"):
        audit(pins, (osv,))


# What the tests don't install, see CONTRIBUTING.md.
# Those of the extras gpu and docs.
NOT_INSTALLED = {
    "flash-attn", "babel", "backrefs", "colorama", "ghp-import", "markdown", "mergedeep", "mkdocs",
    "mkdocs-get-deps", "mkdocs-material", "mkdocs-material-extensions", "paginate", "pymdown-extensions",
    "pyyaml-env-tag", "watchdog",
}  # fmt: skip


def test_every_pinned_package_is_in_the_bill_of_materials() -> None:
    bill = json.loads(bill_of_materials())
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "mixtray")
    found = {part["purl"].partition("@")[0]: part["version"].partition("+")[0] for part in bill["components"]}
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    for name, _, version in (line.partition("==") for line in lines if not line.startswith("#")):
        name = name.lower().replace("_", "-")
        if name not in NOT_INSTALLED:
            assert found[f"pkg:pypi/{name}"] == version
