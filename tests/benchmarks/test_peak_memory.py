"""A process' peak is its own, however much its parent had held."""

import subprocess
import sys

from benchmarks.peak_memory import peak_memory

MIB = 2**20
CHILD = "from benchmarks.peak_memory import peak_memory; {before}; print(peak_memory())"


def peak_of_a_child(before: str) -> int:
    command = [sys.executable, "-c", CHILD.format(before=before)]
    return int(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def test_a_child_does_not_inherit_it() -> None:
    held = bytearray(200 * MIB)
    assert peak_memory() > len(held)
    assert peak_of_a_child("pass") < 100 * MIB
    assert 150 * MIB < peak_of_a_child(f"bytearray({150 * MIB}).count(1)") < 300 * MIB
