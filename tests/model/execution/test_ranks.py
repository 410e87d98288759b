"""The life of a replica's processes: they start together, and none outlives another."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch.distributed as dist

from model.engine import Engine
from model.execution.rank_watch import RankError
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams


def running(process_id):
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def eventually(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


@pytest.mark.timeout(150)
def test_a_killed_rank_fails_the_next_step(checkpoint):
    engine = Engine.load(checkpoint("mixtral"), tensor_parallel=4, threads=1)
    try:
        ranks = engine.ranks.process_ids
        engine.submit(Request("row", [5, 6, 7], SamplingParams(max_new_tokens=80)))
        for _ in range(3):
            assert engine.step() == []
        os.kill(ranks[2], signal.SIGKILL)
        assert eventually(lambda: not running(ranks[2]))
        started = time.monotonic()
        for _ in range(2):
            with pytest.raises(RankError, match="rank 2 ended with code -9; its output says why"):
                engine.step()
        assert time.monotonic() - started < 5
    finally:
        engine.close()
    assert not any(running(process_id) for process_id in ranks[1:])


@pytest.mark.timeout(150)
def test_a_rank_killed_within_a_step_fails_it(checkpoint):
    """It is stopped first, so that rank 0 already waits for it."""
    engine = Engine.load(checkpoint("mixtral"), tensor_parallel=2, threads=1)
    _, child = engine.ranks.process_ids
    killer = threading.Timer(1.0, os.kill, (child, signal.SIGKILL))
    try:
        os.kill(child, signal.SIGSTOP)
        killer.start()
        started = time.monotonic()
        with pytest.raises(RankError, match="rank 1 ended with code -9; its output says why"):
            engine.generate([[5, 6, 7]], SamplingParams(max_new_tokens=4))
        assert 1 <= time.monotonic() - started < 6
    finally:
        killer.cancel()
        engine.close()


@pytest.mark.timeout(150)
def test_children_stay_on_the_machine_and_end_when_their_parent_is_killed_not_before(checkpoint):
    program = (
        "import sys, time; from model.engine import Engine\n"
        "engine = Engine.load(sys.argv[1], tensor_parallel=2, threads=1)\n"
        "print(*engine.ranks.process_ids, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, checkpoint("mixtral")], stdout=subprocess.PIPE)
    rank_0, child = map(int, parent.stdout.readline().split())
    assert (rank_0, running(child)) == (parent.pid, True)
    for number in (signal.SIGHUP, signal.SIGINT):  # as a terminal sends them to all processes of a job
        os.kill(child, number)
    assert not eventually(lambda: not running(child), seconds=0.5)
    environment = Path(f"/proc/{child}/environ").read_text().split("\0")
    assert {"GLOO_SOCKET_IFNAME=lo", "NCCL_SOCKET_IFNAME==lo", "NCCL_NET=Socket"} <= {*environment}
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert eventually(lambda: not running(child))


@pytest.mark.timeout(150)
@pytest.mark.parametrize(
    ("changes", "size", "message"),
    [
        ({}, 3, r"must divide the model's attention heads \(4\), got 3"),
        ({"intermediate_size": 49}, 2, r"must divide the model's intermediate_size \(49\), got 2"),
        (
            {"num_attention_heads": 6, "num_key_value_heads": 3, "head_dim": 8},
            2,
            r"KV heads \(3\) or be a multiple of them, got 2",
        ),
        ({}, 0, "tensor_parallel must be at least 1, got 0"),
    ],
    ids=str,
)
def test_sizes_that_do_not_divide_are_refused(changes, size, message, checkpoint, tmp_path, monkeypatch):
    folder = shutil.copytree(checkpoint("mixtral"), tmp_path / "checkpoint")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    monkeypatch.setattr(
        subprocess, "Popen", lambda *_, **__: pytest.fail("no process needs to start for that")
    )
    with pytest.raises(ValueError, match=message):
        Engine.load(folder, tensor_parallel=size, threads=1)


def test_an_engine_may_follow_another_once_that_is_closed(checkpoint, oracle, prompts, monkeypatch):
    """Closing frees the process group, captured steps before it; closing twice is harmless.

    torch.distributed has one default process group: a second engine beside the first is refused, and the
    first goes on.
    """
    freed, destroy = [], dist.destroy_process_group
    monkeypatch.setattr(dist, "destroy_process_group", lambda: (freed.append("group"), destroy()))
    for _ in range(2):
        freed.clear()
        engine = Engine.load(checkpoint("mixtral"), tensor_parallel=2, threads=1)
        ranks = engine.ranks.process_ids
        with pytest.raises(RuntimeError, match="close it first"):
            Engine.load(checkpoint("mixtral"), tensor_parallel=2, threads=1)
        (completion,) = engine.generate(prompts[:1], SamplingParams(max_new_tokens=4))
        assert completion.token_ids == oracle("mixtral").generate(tuple(prompts[0]), 4)
        engine.ranks.local.graphs = SimpleNamespace(forget=lambda: freed.append("graphs"))
        engine.close()
        assert freed == ["graphs", "group"]
        engine.close()
        assert not running(ranks[1])


@pytest.mark.timeout(150)
def test_ranks_start_from_any_folder_and_any_thread(checkpoint, tmp_path, monkeypatch):
    """Files that lie where the caller happens to be must not stand in for ours, or torch's.

    Ranks outlive the thread that started them.
    """
    for name in ("model.py", "torch.py", "numpy.py"):
        (tmp_path / name).write_text("raise SystemExit('the wrong file')")
    monkeypatch.chdir(tmp_path)
    engines = []
    loading = threading.Thread(
        target=lambda: engines.append(Engine.load(checkpoint("mixtral"), tensor_parallel=2, threads=1))
    )
    loading.start()
    loading.join()
    try:
        assert not eventually(lambda: not running(engines[0].ranks.process_ids[1]), seconds=0.5)
        assert len(engines[0].generate([[5]], SamplingParams(max_new_tokens=2))[0].token_ids) == 2
    finally:
        engines[0].close()


@pytest.mark.timeout(150)
def test_a_rank_that_cannot_start_fails_the_load_at_once(checkpoint, tmp_path, monkeypatch):
    # sitecustomize runs before a child's first line.
    (tmp_path / "sitecustomize.py").write_text("import os; os._exit(9)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="rank 1 ended with code 9 while it started"):
        Engine.load(checkpoint("mixtral"), tensor_parallel=2, threads=1)
    monkeypatch.undo()
    Engine.load(checkpoint("mixtral"), tensor_parallel=2, threads=1).close()
