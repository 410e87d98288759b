"""While a Ray that starts is waited for, other threads run; what the wait gives is what Ray's own gives."""

import threading
import time
from pathlib import Path

import pytest
import ray._private.node as node
from ray._raylet import NodeID, get_port_filename

from pipeline.cluster.port_wait import interruptible

NODE = NodeID.from_random().hex()
NAME = "gcs_server"


def ticks_during(wait: threading.Thread) -> int:
    wait.start()
    ticks = 0
    while wait.is_alive():
        time.sleep(0.01)
        ticks += 1
    return ticks


def test_other_threads_run_until_the_port_is_there(tmp_path: Path) -> None:
    ports: list[int] = []
    with interruptible():
        waiting = threading.Thread(
            target=lambda: ports.append(node.wait_for_persisted_port(str(tmp_path), NODE, NAME))
        )
        written = threading.Timer(1.0, lambda: (tmp_path / get_port_filename(NODE, NAME)).write_text("6379"))
        written.start()
        assert ticks_during(waiting) > 5
    assert ports == [6379]


def test_ray_s_own_wait_lets_none_run(tmp_path: Path) -> None:
    """Where this fails Ray has mended it, and `interruptible` can go."""

    def wait() -> None:
        with pytest.raises(RuntimeError, match="Timed out"):
            node.wait_for_persisted_port(str(tmp_path), NODE, NAME, timeout_ms=500)

    assert ticks_during(threading.Thread(target=wait)) < 5


def test_its_limit_holds_and_ray_s_own_is_put_back(tmp_path: Path) -> None:
    own = node.wait_for_persisted_port
    with interruptible():
        began = time.monotonic()
        with pytest.raises(RuntimeError, match="Timed out"):
            node.wait_for_persisted_port(str(tmp_path), NODE, NAME, timeout_ms=300)
        assert 0.3 <= time.monotonic() - began < 5
    assert node.wait_for_persisted_port is own
