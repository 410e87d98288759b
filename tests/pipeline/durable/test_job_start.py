from collections.abc import Callable

import pytest

from pipeline.durable.job_spec import SPEC
from pipeline.durable.job_start import extend, start
from pipeline.durable.operations import execute
from pipeline.errors import ConfigError
from pipeline.preflight.make_spec import make_spec
from pipeline.shards.plan import Plan
from pipeline.storage.store import Store
from tests.pipeline.durable.small_job import PLAN_BYTES, SPEC_OF_JOB, THE_PLAN, job


def test_the_first_plan_wins(store: Store) -> None:
    assert execute(start(SPEC_OF_JOB, lambda: PLAN_BYTES), store) == [PLAN_BYTES]
    assert execute(start(SPEC_OF_JOB, lambda: b"another plan"), store) == [PLAN_BYTES]
    assert Plan.from_parquet(PLAN_BYTES) == THE_PLAN


def test_input_that_cannot_be_planned_leaves_no_trace(store: Store) -> None:
    def fail() -> bytes:
        raise ConfigError("no such column")

    with pytest.raises(ConfigError, match="no such column"):
        execute(start(SPEC_OF_JOB, fail), store)
    assert not store.exists(SPEC)
    corrected = job(input={"path": "in.jsonl", "prompt": {"column": "body"}})
    execute(start(make_spec(corrected, "weights", "tokens"), lambda: PLAN_BYTES), store)


def test_of_two_runs_that_extend_the_second_plans_what_is_still_new(store: Store) -> None:
    def plan_new_files(seen: list[bytes]) -> Callable[[list[bytes]], bytes | None]:
        return lambda plans: b"".join(file for file in seen if file not in b"".join(plans)) or None

    plans = execute(start(SPEC_OF_JOB, lambda: b"a"), store)
    assert execute(extend(plans, plan_new_files([b"a", b"b"])), store) == [b"a", b"b"]
    # The other one had read the plans before.
    assert execute(extend(plans, plan_new_files([b"a", b"b", b"c"])), store) == [b"a", b"b", b"c"]
    assert execute(start(SPEC_OF_JOB, lambda: b"unused"), store) == [b"a", b"b", b"c"]
