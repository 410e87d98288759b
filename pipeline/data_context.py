"""How Ray Data is to run a job's stages, whose rows are shards."""

from typing import Any

from ray.data import DataContext
from ray.data._internal.execution import backpressure_policy as ray_policies

_MOST_WAITING = 256  # enough for replicas, which hold some more each, to find the next one at once


def shard_context() -> DataContext:
    """A context of its own: use with `DataContext.current`."""
    context = DataContext.get_current().copy()
    context.enable_progress_bars = False  # ours counts rows that are committed
    context.print_on_execution_start = False
    context.max_errored_blocks = 0
    context.target_max_block_size = 1  # byte: a block a row, that is a shard, handed on at once
    context.execution_no_progress_timeout_s = -1  # a large shard may take hours; replicas have a watchdog
    key = ray_policies.ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY
    policies = context.get_config(key, ray_policies.ENABLED_BACKPRESSURE_POLICIES)
    context.set_config(key, [*policies, FewShardsWaiting])
    return context


class FewShardsWaiting(ray_policies.backpressure_policy.BackpressurePolicy):  # type: ignore[misc]
    """A stage rests while the next one has enough to do.

    Ray Data by itself bounds the bytes that wait between two stages. Of small shards that is very many, and
    in the driver each takes some 10 KB whatever its size. Lest a job stand still, Ray Data lets one more
    through every ten seconds all the same.
    """

    def can_add_input(self, op: Any) -> bool:
        return self._room_behind(op) > 0

    def max_task_output_bytes_to_read(self, op: Any) -> int | None:
        size = op.metrics.average_bytes_per_output or 1.0  # of a shard, where none is known
        return max(0, int(self._room_behind(op) * size))

    def _room_behind(self, op: Any) -> int:
        """How many more shards may wait for the next stage."""
        waiting = sum(self._topology[user].total_enqueued_input_blocks() for user in op.output_dependencies)
        return _MOST_WAITING - int(waiting)
