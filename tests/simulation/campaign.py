"""Many schedules, one after the other, and what to say of the first that breaks a promise."""

from tests.simulation.schedule import Schedule
from tests.simulation.tally import Tally


class FailedScheduleError(AssertionError):
    def __init__(self, seed: int, error: Exception) -> None:
        super().__init__(
            f"seed {seed}: {error or type(error).__name__}\n"
            f"replay it with: python -m tests.simulation --schedules 1 --seed {seed}"
        )
        self.seed = seed


def simulate(schedules: int, first_seed: int) -> Tally:
    """The sums over schedules of consecutive seeds; FailedScheduleError names the first that fails."""
    total = Tally()
    for seed in range(first_seed, first_seed + schedules):
        try:
            total.add(Schedule(seed).play())
        except Exception as error:
            raise FailedScheduleError(seed, error) from error
    return total
