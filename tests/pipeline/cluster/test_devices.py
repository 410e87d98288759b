"""What a job can know of the GPUs that a cluster's autoscaler may start."""

from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from ray.core.generated.autoscaler_pb2 import ClusterConfig

from pipeline.cluster import devices
from pipeline.cluster.devices import Offer, is_joined, offered_gpus

HEAD = {"Alive": True, "NodeManagerAddress": "10.0.0.1", "Resources": {"CPU": 4, "node:__internal_head__": 1}}
LAUNCHED = {
    "head_node_type": "head",
    "available_node_types": {
        "head": {"resources": {"CPU": 4, "GPU": 1}, "max_workers": 0},
        "cpus": {"resources": {"CPU": 64}, "max_workers": 9},
        "gpus": {"resources": {"CPU": 64, "GPU": 8}, "max_workers": 3},
        "retired": {"resources": {"GPU": 4}, "max_workers": 0},
    },
}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Joined, on its head, which was launched with the file that this returns; there is none yet."""
    file = tmp_path / "config.yaml"
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    monkeypatch.setattr(devices.state, "get_cluster_config", lambda: None)
    monkeypatch.setattr(ray, "nodes", lambda: [HEAD])
    monkeypatch.setattr("ray.util.get_node_ip_address", lambda: "10.0.0.1")
    monkeypatch.setattr(devices, "LAUNCHED_WITH", file)
    return file


def test_a_ray_of_the_job_s_own_offers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for address, joined in ((None, False), ("local", False), ("auto", True), ("10.0.0.1:6379", True)):
        if address is None:
            monkeypatch.delenv("RAY_ADDRESS", raising=False)
        else:
            monkeypatch.setenv("RAY_ADDRESS", address)
        assert is_joined() is joined
        if not joined:
            assert offered_gpus() == []


def test_the_launcher_s_file_counts_on_its_head_alone(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert offered_gpus() == []
    cluster.write_text(yaml.safe_dump(LAUNCHED))
    assert offered_gpus() == [Offer(gpus=8, nodes=3)]
    monkeypatch.setattr("ray.util.get_node_ip_address", lambda: "10.0.0.2")
    assert offered_gpus() == []
    monkeypatch.setattr("ray.util.get_node_ip_address", lambda: "10.0.0.1")
    for content in ("[", "5", "available_node_types: {a: 5}", "{}"):
        cluster.write_text(content)
        assert offered_gpus() == []


def test_what_the_cluster_records_goes_before(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.write_text(yaml.safe_dump(LAUNCHED))
    recorded: Any = ClusterConfig()
    for gpus, most in ((4, -1), (0, 5), (2, 0), (1, 6)):
        recorded.node_group_configs.add(resources={"CPU": 8, "GPU": gpus}, max_count=most)
    monkeypatch.setattr(devices.state, "get_cluster_config", lambda: recorded)
    assert offered_gpus() == [Offer(gpus=4, nodes=None), Offer(gpus=1, nodes=6)]
