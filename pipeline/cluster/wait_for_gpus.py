"""Waits until the cluster has GPUs for the replicas with which a job begins, and says for what."""

import logging
import time
from contextlib import suppress

import ray
from ray.util.placement_group import PlacementGroup

from pipeline.cluster.devices import nodes
from pipeline.cluster.ray_calls import NoAnswer, ask
from pipeline.cluster.resources import REPLICA_CPUS, Resources

logger = logging.getLogger(__name__)
_SECONDS_BETWEEN_LINES = 60.0
_SILENT_SECONDS = 2.0
_SECONDS_A_LOOK = 1.0
_SECONDS_TO_END = 1.0


def wait_for_gpus(resources: Resources) -> None:
    """Return once `resources.least` replicas have room. Jobs without GPUs do not wait.

    The wait is a demand that the cluster's autoscaler sees.
    """
    if not resources.num_gpus:
        return
    # A placement group is there as soon as each of its bundles has room on some node, all at once.
    each = {"GPU": resources.num_gpus, "CPU": REPLICA_CPUS}
    bundles = [each] * resources.least
    group = ask(lambda: ray.util.placement_group(bundles, strategy="PACK"), what="a wait for GPUs")
    try:
        _wait(group, resources)
    finally:
        with suppress(NoAnswer):  # the call goes on in its thread
            ask(lambda: ray.util.remove_placement_group(group), _SECONDS_TO_END, what="the end of a wait")
    more = resources.replicas - _room(resources.num_gpus)
    if more > 0:
        logger.warning("%d more replicas begin when nodes with free GPUs come", more)


def _wait(group: PlacementGroup, resources: Resources) -> None:
    began = time.monotonic()
    next_line = began + _SILENT_SECONDS
    while not ask(lambda: group.wait(_SECONDS_A_LOOK), what="whether the GPUs are there"):
        if time.monotonic() < next_line:
            continue
        next_line = time.monotonic() + _SECONDS_BETWEEN_LINES
        gpus = [int(node.get("GPU", 0)) for node in nodes()]
        logger.warning(
            "waiting for GPUs for %d replicas, %d on one node for each: the cluster has room for %d, if "
            "nobody else uses it (GPUs of its nodes: %s)",
            resources.least,
            resources.num_gpus,
            _room(resources.num_gpus),
            ", ".join(map(str, sorted(gpus, reverse=True))),
        )
    if time.monotonic() - began > _SILENT_SECONDS:
        logger.warning("the GPUs are there")


def _room(ranks: int) -> int:
    return sum(int(node.get("GPU", 0)) // ranks for node in nodes())
