"""The limit on waiting shards; tests/pipeline/shards/test_shard_source.py has it within Ray Data."""

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.cluster.ray_data_settings import _MOST_WAITING, LimitWaitingShards


def admitted(waiting: list[int], average: float | None) -> tuple[bool, int | None]:
    """Whether a stage may start a task, and how many bytes it may hand on, if so many shards wait."""
    consumers = [object() for _ in waiting]
    stage: Any = SimpleNamespace(
        output_dependencies=consumers, metrics=SimpleNamespace(average_bytes_per_output=average)
    )
    policy = LimitWaitingShards.__new__(LimitWaitingShards)
    policy._topology = {
        consumer: SimpleNamespace(total_enqueued_input_blocks=lambda count=count: count)
        for consumer, count in zip(consumers, waiting, strict=True)
    }
    return policy.can_add_input(stage), policy.max_task_output_bytes_to_read(stage)


@pytest.mark.parametrize(
    ("waiting", "may_start", "may_hand_on"),
    [
        ([0], True, 2 * _MOST_WAITING),
        ([_MOST_WAITING - 1], True, _MOST_WAITING + 1),
        ([_MOST_WAITING], False, _MOST_WAITING),
        ([_MOST_WAITING // 2, _MOST_WAITING // 2], False, _MOST_WAITING),
        ([2 * _MOST_WAITING], False, 0),
        ([3 * _MOST_WAITING], False, 0),
        ([], True, 2 * _MOST_WAITING),
    ],
)
def test_no_task_starts_at_the_limit_and_outputs_are_taken_up_to_twice_as_far(
    waiting: list[int], may_start: bool, may_hand_on: int
) -> None:
    assert admitted(waiting, average=1000.0) == (may_start, 1000 * may_hand_on)
    assert admitted(waiting, average=None) == (may_start, may_hand_on), "a byte each while none is known"
