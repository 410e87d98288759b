import subprocess
import sys

import pytest

import tests.simulation.attempt_mutants
import tests.simulation.deterministic_mutants
import tests.simulation.extension_mutants  # noqa: F401
from tests.simulation.campaign import FailedScheduleError, simulate
from tests.simulation.invariant import ViolationError
from tests.simulation.mutants import MUTANTS, Mutant

SCHEDULES = 20_000
A_SHARE = 5_000  # tests are shared out among processes
SCHEDULES_FOR_A_MUTANT = 20_000


@pytest.mark.parametrize("first_seed", range(0, SCHEDULES, A_SHARE))
def test_no_schedule_breaks_a_promise(first_seed: int) -> None:
    tally = simulate(A_SHARE, first_seed)
    disturbances = (tally.crashes, tally.lost_answers, tally.poison_deaths)
    assert min(disturbances) > A_SHARE // 4, "a calm simulation shows nothing"
    rarer = (tally.late_requests, tally.lost_contacts, tally.whole_losses, tally.extensions)
    assert min(rarer) > A_SHARE // 100


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_the_simulation_catches(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant(monkeypatch)
    with pytest.raises(FailedScheduleError, match="replay it with") as failure:
        simulate(SCHEDULES_FOR_A_MUTANT, first_seed=0)
    assert isinstance(failure.value.__cause__, ViolationError), "a mutant that crashes shows nothing"


def test_one_schedule_is_printed_step_by_step() -> None:
    command = [sys.executable, "-m", "tests.simulation", "--schedules", "1", "--seed", "7"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Create(_job/spec.json" in printed
    assert printed.endswith("seed 7: no violation\n")
