"""What only a GPU can tell of mixtray, in one command and one report, most important first.

    python -m benchmarks.device_session                # one GPU; random weights, the largest size that fits
    python -m benchmarks.device_session --rehearse     # on a CPU, tiny sizes: do the sections themselves run?

Every section has its own process and its own time limit; one that fails lets the next begin. Nothing is
downloaded. Needs torch, numpy and safetensors; pytest for the tests of `tests/gpu`.
"""

import argparse
import os
import sys
import time
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    """Exit code 1 if any section failed."""
    given = _parse(arguments)
    if given.rehearse:  # before anything asks for a GPU, or for Triton
        os.environ |= {"CUDA_VISIBLE_DEVICES": "", "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    from benchmarks.device.in_child import run_section
    from benchmarks.device.plan import SECTIONS
    from benchmarks.device.report import Report
    from benchmarks.device.setting import Setting

    unknown = {*given.only} - {section.name for section in SECTIONS}
    if unknown:
        print(f"no section is called {', '.join(sorted(unknown))}; there are:", file=sys.stderr)
        print("\n".join(f"  {section.name}: {section.question}" for section in SECTIONS), file=sys.stderr)
        return 2
    report = Report(given.report, "Rehearsal on a CPU: no figure counts" if given.rehearse else "On a GPU")
    end, failed = time.monotonic() + 60 * given.minutes, False
    for section in SECTIONS:
        if given.only and section.name not in given.only:
            continue
        left = end - time.monotonic()
        if left < 1:
            report.leave_out(section.name, f"the session's {given.minutes:g} minutes were over")
            continue
        outcome = run_section(section.measure, Setting(given.rehearse), min(left, section.limit_seconds))
        report.add(section.name, section.question, outcome)
        failed |= outcome.failure is not None
        said = (outcome.failure or f"{len(outcome.table)} rows").strip().splitlines()[-1]
        print(f"{outcome.seconds:6.1f} s  {section.name}: {said}", flush=True)
    print(f"the report is {given.report}")
    return int(failed)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.device_session", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rehearse", action="store_true", help="on a CPU, with tiny sizes")
    where = Path(os.environ.get("OUT", ".")) / "device_session.md"
    parser.add_argument("--report", type=Path, default=where, help="default: $OUT/device_session.md")
    parser.add_argument("--only", nargs="*", default=[], metavar="SECTION", help="these sections alone")
    parser.add_argument("--minutes", type=float, default=9.5, help="sections begin within this time")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
