"""python -m tests.chaos --kills 1000 --seed 1

Runs real jobs on real Rays and kills their processes; oracles count the rows and the blame at the end. Half
of the kills hit single processes of a cluster, half stop jobs that have a Ray of their own. It prints a line
for each job that is done, and at last one with all counts.
"""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from tests.chaos.soak import Options, Soak, Tally
from tests.chaos.stops import StopSoak

SOAKS = {"cluster": Soak, "stops": StopSoak}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=SOAKS, help="one half, with all the kills")
    parser.add_argument("--stock", action="store_true", help="plain Ray Data instead, as the baseline")
    parser.add_argument("--jobs", type=int, default=Options.jobs, help="at once")
    parser.add_argument("--rows", type=int, default=Options.rows, help="of each job")
    parser.add_argument("--pause", type=float, default=Options.pause, help="mean seconds between strikes")
    arguments = vars(parser.parse_args())
    only = arguments.pop("only") or ("cluster" if arguments["stock"] else None)
    halves = [only] if only else list(SOAKS)
    arguments["kills"] = -(-arguments["kills"] // len(halves))
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is ended on the way out
    # A handler, though it does nothing, is not handed on to children: they would ignore it as this process
    # does if it was started by nohup.
    signal.signal(signal.SIGHUP, lambda *_: None)
    total = Tally()
    for half in halves:
        soak = SOAKS[half](folder / half, Options(**arguments))
        try:
            soak.run()
        finally:
            print(f"{half}:")
            report(soak.tally)
            total.add(soak.tally)
    if total.violations:
        print(*total.violations, f"seed {arguments['seed']}; see {folder}", sep="\n")
    print(total.line())
    return 1 if total.violations else 0


def report(tally: Tally) -> None:
    kinds = {f"killed: {kind}": count for kind, count in sorted(tally.kills.items())}
    others = {name: value for name, value in vars(tally).items() if isinstance(value, int)}
    figures = {"kills": tally.kills.total()} | kinds | others | {"seconds": round(tally.seconds)}
    for name, value in figures.items():
        print(f"{name.replace('_', ' '):28} {value:>9,}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
