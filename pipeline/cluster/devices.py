"""Whether a job computes on GPUs: what its `engine.device` asks for, and what the cluster has or may get."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import yaml
from ray._private.state import state

from pipeline.cluster.ray_calls import ask
from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError

# `ray up` leaves it on the head that it starts, with the types of nodes that the autoscaler may add.
LAUNCHED_WITH = Path("~/ray_bootstrap_config.yaml")
_HEAD = "node:__internal_head__"
Node = Mapping[str, float]  # its resources, as Ray names them


@dataclass(frozen=True)
class Offer:
    """A type of node that the cluster's autoscaler may start."""

    gpus: int  # of each node
    nodes: int | None  # at most; None: without limit


def nodes() -> list[Node]:
    """Those of the cluster that are alive."""
    return [node["Resources"] for node in ray_nodes() if node["Alive"]]


def ray_nodes() -> list[dict[str, Any]]:
    """All nodes that the cluster has and had, as Ray describes them."""
    return list(ask(ray.nodes, what="which nodes there are"))


def is_joined() -> bool:
    """Whether there is a cluster to which nodes may come, rather than a Ray that the job starts itself."""
    return os.environ.get("RAY_ADDRESS", "local") != "local"


def uses_gpus(config: JobConfig, nodes: Sequence[Node]) -> bool:
    """Whether the job's replicas take GPUs, once Ray is there.

    ConfigError if it asks for GPUs where there are none and none can come.
    """
    device = config.engine.device
    if device == "cpu":
        return False
    if any(node.get("GPU") for node in nodes):
        return True
    if device == "auto":
        return bool(offered_gpus())
    if is_joined():
        return True
    raise ConfigError(
        "engine.device: gpu, but Ray sees none on this machine; set RAY_ADDRESS to a cluster that has them, "
        "or engine.device to cpu"
    )


def offered_gpus() -> list[Offer]:
    """Nodes with GPUs that the autoscaler may start, as far as it tells; see docs/cluster.md.

    Platforms that manage clusters record their types of nodes in the cluster. `ray up` leaves a file on the
    head. Elsewhere, as with KubeRay, the autoscaler keeps them to itself.
    """
    if not is_joined():
        return []
    recorded = ask(state.get_cluster_config, what="which nodes may come")
    if recorded is not None and recorded.node_group_configs:
        groups = [(group.resources.get("GPU", 0), group.max_count) for group in recorded.node_group_configs]
        return [Offer(int(gpus), None if most < 0 else most) for gpus, most in groups if gpus and most]
    return _of_launcher() if _is_head() else []


def _is_head() -> bool:
    here = ray.util.get_node_ip_address()
    return any(
        node["Alive"] and _HEAD in node["Resources"] and node["NodeManagerAddress"] == here
        for node in ray_nodes()
    )


def _of_launcher() -> list[Offer]:
    try:
        config: Any = yaml.safe_load(LAUNCHED_WITH.expanduser().read_text(encoding="utf-8"))
        head = config.get("head_node_type")
        types = {name: kind for name, kind in config["available_node_types"].items() if name != head}
        each = [
            (kind.get("resources", {}).get("GPU", 0), kind.get("max_workers", 0)) for kind in types.values()
        ]
        return [Offer(int(gpus), int(most)) for gpus, most in each if gpus and most]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, yaml.YAMLError):
        return []  # no such file, no home folder, or not one of `ray up`
