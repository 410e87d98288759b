"""What is asked of llama.cpp's server, and what comes of one that fails; a small server stands in for it."""

import sys
import textwrap

import psutil
import pytest
import torch

from benchmarks.llama_peer import running
from benchmarks.workload import Workload

WORKLOAD = Workload("two rows", [[5, 6, 7], [8]], [3, 2])
SERVER = """\
#!{python}
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Answers(BaseHTTPRequestHandler):
    asked = 0

    def do_GET(self):
        Answers.asked += 1
        self.answer(200 if Answers.asked > 2 else 503, {{}})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert asked["temperature"] == 0 and asked["ignore_eos"] and not asked["cache_prompt"]
        first, count = asked["prompt"][0], asked["n_predict"] - {missing}
        self.answer(200, {{"tokens": list(range(first, first + count))}})

    def answer(self, status, content):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
print("room for", options["--ctx-size"], "in", options["--cache-type-k"], flush=True)
{first}
ThreadingHTTPServer(("127.0.0.1", int(options["--port"])), Answers).serve_forever()
"""


@pytest.fixture
def program(tmp_path):
    def write(missing=0, first=""):
        path = tmp_path / "server"
        path.write_text(SERVER.format(python=sys.executable, missing=missing, first=textwrap.dedent(first)))
        path.chmod(0o755)
        return str(path)

    return write


def test_rows_are_asked_for_once_the_weights_are_loaded(program, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with running(program(), tmp_path / "model.gguf", longest=6, slots=4, threads=1) as server:
        assert server.generate(WORKLOAD) == [[5, 6, 7], [8, 9]]
        assert server.cpu_seconds() > 0
        pid = server.process.pid
    assert not psutil.pid_exists(pid)
    assert "room for 24 in f32" in (tmp_path / "server.log").read_text()


def test_its_cache_has_the_number_type_of_the_weights(program, tmp_path):
    with running(program(), tmp_path / "model.gguf", 6, 4, threads=1, dtype=torch.bfloat16):
        pass
    assert "in bf16" in (tmp_path / "server.log").read_text()


def test_a_row_that_is_cut_short_is_no_result(program, tmp_path):
    with (
        running(program(missing=1), tmp_path / "model.gguf", longest=6, slots=4, threads=1) as server,
        pytest.raises(RuntimeError, match="gave 2 tokens instead of 3"),
    ):
        server.generate(WORKLOAD)


def test_a_server_that_ends_is_told_in_its_last_words(program, tmp_path):
    broken = program(first="sys.exit('no such tensor')")
    with (
        pytest.raises(RuntimeError, match="no such tensor"),
        running(broken, tmp_path / "model.gguf", longest=6, slots=4, threads=1),
    ):
        pass
