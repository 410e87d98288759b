"""python -m tests.chaos --kills 1000 --seed 1

Runs real jobs on a real Ray cluster and kills its processes; an oracle counts the rows at the end.
"""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from tests.chaos.soak import Options, Soak, Tally


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stock", action="store_true", help="plain Ray Data instead, as the baseline")
    parser.add_argument("--jobs", type=int, default=Options.jobs, help="at once")
    parser.add_argument("--rows", type=int, default=Options.rows, help="of each job")
    parser.add_argument("--pause", type=float, default=Options.pause, help="mean seconds between strikes")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is ended on the way out
    soak = Soak(folder, Options(**vars(arguments)))
    try:
        tally = soak.run()
    finally:
        report(soak.tally)
    if tally.violations:
        print(*tally.violations, f"seed {arguments.seed}; see {folder}", sep="\n")
    return 1 if tally.violations else 0


def report(tally: Tally) -> None:
    kinds = {f"killed: {kind}": count for kind, count in sorted(tally.kills.items())}
    others = {name: value for name, value in vars(tally).items() if isinstance(value, int)}
    figures = {"kills": tally.kills.total()} | kinds | others | {"seconds": round(tally.seconds)}
    for name, value in figures.items():
        print(f"{name.replace('_', ' '):20} {value:>9,}")


if __name__ == "__main__":
    sys.exit(main())
