"""Random templates against the budget: `python -m tests.template_fuzz --seconds 300 --seed 1`.

Prints each template that took too long or too much, or ended a process, and fails if there was one.
"""

import argparse
import sys
import time
from collections import Counter

from tests.template_fuzz.grammar import VALUES, Grammar
from tests.template_fuzz.judge import judge


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    until = time.monotonic() + options.seconds
    seed, ends, bad = options.seed, Counter[str](), 0
    slowest, largest = 0.0, 0
    while time.monotonic() < until:
        source = Grammar(seed).template()
        verdict = judge(source, VALUES)
        ends[f"{verdict.ended} {verdict.message}".partition(" (its line")[0]] += 1
        slowest, largest = max(slowest, verdict.seconds), max(largest, verdict.memory)
        if not verdict.good:
            bad += 1
            print(f"seed {seed}: {verdict}\n{source}\n", flush=True)
        seed += 1
    for end_of, count in ends.most_common(20):
        print(f"{count:>8,} {end_of[:100]}")
    tried = sum(ends.values())
    print(f"{tried:,} templates, {bad} bad; slowest {slowest:.2f} s, most memory {largest >> 20} MB")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
