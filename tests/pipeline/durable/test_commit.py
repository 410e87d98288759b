import pytest

from pipeline.durable.commit import RouterTable, part_path, publish, remaining
from pipeline.durable.job_start import extend, start
from pipeline.durable.operations import execute
from pipeline.errors import ConfigError
from pipeline.shards.plan import Plan
from pipeline.storage.store import Store
from tests.pipeline.durable.small_job import SHARDS, SPEC_OF_JOB, THE_PLAN


def test_parts_of_another_job_are_refused(store: Store) -> None:
    store.create("generations/part-000000-feed.parquet", b"")
    with pytest.raises(ConfigError, match="part-000000-feed"):
        execute(remaining(THE_PLAN), store)


def test_a_part_names_the_router_table_of_its_own_attempt(store: Store) -> None:
    seen = []

    def make_part(table: RouterTable | None) -> bytes:
        seen.append(table)
        return b"rows"

    published = execute(publish(SHARDS[0], b"table", make_part), store)
    assert seen[0] is not None
    assert store.read(seen[0].path) == b"table"
    assert published.sha256 is not None
    assert execute(publish(SHARDS[0], b"another table", make_part), store).sha256 is None
    assert seen[1].path != seen[0].path
    assert store.read(seen[0].path) == b"table"
    assert execute(publish(SHARDS[0], b"table", make_part), store).sha256 is None
    assert seen[2] == seen[0], "equal attempts give equal bytes"
    assert execute(publish(SHARDS[1], None, make_part), store).sha256 is not None
    assert seen[3] is None
    assert execute(remaining(THE_PLAN), store) == list(SHARDS[2:])


def test_parts_of_an_extension_do_not_disturb_a_run_that_does_not_know_it(store: Store) -> None:
    execute(start(SPEC_OF_JOB, lambda: b"plan"), store)
    store.create(part_path(SHARDS[3]), b"rows")
    first = Plan(SHARDS[:3], ())
    with pytest.raises(ConfigError, match="not of this job"):
        execute(remaining(first), store)
    execute(extend([b"plan"], lambda plans: b"more" if len(plans) == 1 else None), store)
    assert execute(remaining(first), store) == list(SHARDS[:3])
    store.create("generations/part-000001-feed.parquet", b"")
    with pytest.raises(ConfigError, match="part-000001-feed"):
        execute(remaining(first), store)
