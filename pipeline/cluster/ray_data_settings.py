"""The settings of Ray Data for a job's stages, whose rows are shards."""

from typing import Any

from ray.data import DataContext
from ray.data._internal.execution import backpressure_policy as ray_policies

from pipeline.cluster.stage_output import EndsWhenUnwanted

_MOST_WAITING = 256  # shards; enough that a free replica finds one at once


def configure_ray_data(context: DataContext) -> None:
    """`context` is the dataset's own (`Dataset.context`); stages that are added to the dataset share it."""
    context.enable_progress_bars = False  # `pipeline.reporting.progress` shows the rows that are committed
    context.print_on_execution_start = False
    context.max_errored_blocks = 0
    # One byte, so that each row (a shard) is a block of its own and goes on at once.
    context.target_max_block_size = 1
    # a large shard may take hours; a watchdog notices replicas that hang
    context.execution_no_progress_timeout_s = -1
    context.custom_execution_callback_classes = [
        *context.custom_execution_callback_classes,
        EndsWhenUnwanted,
    ]
    key = ray_policies.ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY
    policies = context.get_config(key, ray_policies.ENABLED_BACKPRESSURE_POLICIES)
    context.set_config(key, [*policies, LimitWaitingShards])


class LimitWaitingShards(ray_policies.backpressure_policy.BackpressurePolicy):  # type: ignore[misc]
    """A stage starts no Ray task while enough shards wait for the next stage.

    Ray Data by itself limits only the bytes that wait. Of small shards these are very many, and each costs
    the driver some 10 KB. Output of running tasks is accepted up to twice the limit, so that their errors
    surface. Ray Data admits one task every 10 s regardless.
    """

    def can_add_input(self, op: Any) -> bool:
        return self._waiting_after(op) < _MOST_WAITING

    def max_task_output_bytes_to_read(self, op: Any) -> int | None:
        # bytes; an average is unknown before the first output
        size = op.metrics.average_bytes_per_output or 1.0
        return int(size * max(0, 2 * _MOST_WAITING - self._waiting_after(op)))

    def _waiting_after(self, op: Any) -> int:
        users = [self._topology[user] for user in op.output_dependencies]
        return sum(user.total_enqueued_input_blocks() for user in users)
