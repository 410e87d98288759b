"""The steps of a stop end within the time that is promised for all of them."""

from pipeline.supervision import stop_budget


def test_the_steps_end_before_the_last_resort_and_that_before_the_promise() -> None:
    steps = (
        stop_budget.SECONDS_TO_COMMIT,
        stop_budget.SECONDS_TO_LEAVE,
        stop_budget.SECONDS_TO_REPORT,
        stop_budget.SECONDS_TO_SHUT_DOWN,
    )
    assert stop_budget.SECONDS_TO_GIVE_UP < stop_budget.SECONDS_TO_COMMIT
    assert sum(steps) < stop_budget.SECONDS_TO_THE_LAST_RESORT < stop_budget.SECONDS_PROMISED == 10
