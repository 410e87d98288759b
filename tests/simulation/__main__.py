"""python -m tests.simulation --schedules 20000 --seed 0

Runs the durability protocol through seeded schedules of crashes, lost answers and late writes. One schedule
alone is printed step by step.
"""

import argparse
import sys
import time

from tests.simulation.campaign import FailedScheduleError, simulate
from tests.simulation.schedule import Schedule
from tests.simulation.tally import Tally

_A_CHUNK = 50_000  # schedules between signs of life


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--schedules", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first schedule; the others count up")
    arguments = parser.parse_args()
    if arguments.schedules == 1:
        return replay(arguments.seed)
    began, total, end = time.perf_counter(), Tally(), arguments.seed + arguments.schedules
    for seed in range(arguments.seed, end, _A_CHUNK):
        try:
            total.add(simulate(min(_A_CHUNK, end - seed), seed))
        except FailedScheduleError as failure:
            print(failure)
            return 1
        print(f"{total.schedules:,} schedules, no violation", flush=True)
    report(total, time.perf_counter() - began)
    return 0


def report(total: Tally, seconds: float) -> None:
    figures = {name.replace("_", " "): f"{value:,}" for name, value in vars(total).items()}
    figures |= {"seconds": f"{seconds:,.1f}", "schedules a second": f"{total.schedules / seconds:,.0f}"}
    for name, value in (figures | {"violations": "0"}).items():
        print(f"{name:22} {value:>13}")


def replay(seed: int) -> int:
    trace: list[str] = []
    try:
        Schedule(seed, trace=trace).play()
    except Exception as error:
        print(*trace, f"seed {seed}: {error or type(error).__name__}", sep="\n")
        return 1
    print(*trace, f"seed {seed}: no violation", sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
