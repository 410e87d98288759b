from pipeline.preflight.make_spec import make_spec
from tests.pipeline.durable.small_job import SPEC_OF_JOB, job


def test_what_changes_no_row_may_change_between_runs() -> None:
    moved = job(
        job="renamed", model__path="s3://elsewhere", model__tensor_parallel=2, output__path="other",
        engine__replicas=3, engine__max_batch_rows=8, errors__max_attempts=9,
    )  # fmt: skip
    assert make_spec(moved, "weights", "tokens") == SPEC_OF_JOB


def test_ranks_that_round_by_themselves_may_not_change_in_number() -> None:
    one, two = (job(model__quantization="int8", model__tensor_parallel=ranks) for ranks in (1, 2))
    assert make_spec(one, "weights", "tokens") != make_spec(two, "weights", "tokens")
