"""How far a stage of a job may run ahead of the next one, in shards.

Ray Data bounds the bytes that wait between two stages. Of small shards that lets very many wait, and in the
driver each takes some 10 KB whatever its size.
"""

from typing import Any

from ray.data import DataContext
from ray.data._internal.execution import backpressure_policy as ray_policies

_MOST_WAITING = 256  # enough for replicas, which hold some more each, to find the next one at once


class FewShardsWaiting(ray_policies.backpressure_policy.BackpressurePolicy):  # type: ignore[misc]
    """Takes nothing from a stage while the next one has enough; its tasks then wait to hand on more."""

    def max_task_output_bytes_to_read(self, op: Any) -> int | None:
        waiting = sum(self._topology[user].total_enqueued_input_blocks() for user in op.output_dependencies)
        return 0 if waiting >= _MOST_WAITING else None


def bound_waiting_shards(context: DataContext) -> None:
    """In addition to what bounds bytes."""
    policies = [*ray_policies.ENABLED_BACKPRESSURE_POLICIES, FewShardsWaiting]
    context.set_config(ray_policies.ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY, policies)
