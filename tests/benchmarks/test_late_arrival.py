"""Steps are told apart by whether the late prompt has arrived, and whether it is prefilled."""

import pytest

from benchmarks.late_arrival import Steps, run_with_late_rows
from benchmarks.ours import run_ours
from benchmarks.random_checkpoint import write_checkpoint
from benchmarks.workload import Workload
from model.engine import Engine

PROMPTS = [[5, 6, 7], [8, 9], [*range(3, 200)]]


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("random")
    write_checkpoint(folder, "tiny")
    engine = Engine.load(folder, threads=1)
    yield engine
    engine.close()


def test_rows_generate_what_they_do_without_it(engine):
    late = Workload("late", PROMPTS, [60, 60, 1], late=1)
    run, steps = run_with_late_rows(engine, late)
    assert run.token_ids == run_ours(engine, Workload("all", PROMPTS, [60, 60, 1])).token_ids
    assert list(steps) == ["before", "during", "after"]
    assert steps["before"]["count"] == 16
    assert steps["during"]["count"] >= 1
    assert steps["after"]["count"] > 10
    assert all(0 < of["median_seconds"] <= of["longest_seconds"] for of in steps.values())


def test_a_prompt_that_comes_too_late_is_no_measurement(engine):
    with pytest.raises(RuntimeError, match="all other rows had ended"):
        run_with_late_rows(engine, Workload("too late", PROMPTS, [5, 5, 1], late=1))


def test_steps_are_summed_up():
    assert Steps.of([0.1, 0.3, 0.2]) == Steps(3, 0.2, 0.3)
    assert Steps.of([]) == Steps(0, None, None)
