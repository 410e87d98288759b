"""How Ray Data is to run a job's stages, whose rows are shards."""

from typing import Any

from ray.data import DataContext
from ray.data._internal.execution import backpressure_policy as ray_policies

_MOST_WAITING = 256  # so many that a replica that is free finds one at once


def configure_for_shards(context: DataContext) -> None:
    """`context` is the dataset's own (`Dataset.context`), of which each stage that is added has the same."""
    context.enable_progress_bars = False  # ours counts rows that are committed
    context.print_on_execution_start = False
    context.max_errored_blocks = 0
    context.target_max_block_size = 1  # byte, so that each row, a shard, is a block and handed on at once
    context.execution_no_progress_timeout_s = -1  # a large shard may take hours; replicas have a watchdog
    key = ray_policies.ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY
    policies = context.get_config(key, ray_policies.ENABLED_BACKPRESSURE_POLICIES)
    context.set_config(key, [*policies, FewShardsWaiting])


class FewShardsWaiting(ray_policies.backpressure_policy.BackpressurePolicy):  # type: ignore[misc]
    """No task of a stage begins while enough shards wait for the next one.

    Ray Data alone bounds the bytes that wait: of small shards that is very many, and each costs the driver
    some 10 KB. What tasks that had begun have given is taken even so, as far as twice that number, so that an
    error among it is heard; and lest a job stand still, Ray Data takes one more every ten seconds.
    """

    def can_add_input(self, op: Any) -> bool:
        return self._waiting_behind(op) < _MOST_WAITING

    def max_task_output_bytes_to_read(self, op: Any) -> int | None:
        size = op.metrics.average_bytes_per_output or 1.0  # of a shard, where none is known
        return int(size * max(0, 2 * _MOST_WAITING - self._waiting_behind(op)))

    def _waiting_behind(self, op: Any) -> int:
        users = [self._topology[user] for user in op.output_dependencies]
        return sum(user.total_enqueued_input_blocks() for user in users)
