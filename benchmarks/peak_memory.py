"""How much memory a process has held at its most."""

import resource
import sys
from pathlib import Path


def peak_memory(process: int | str = "self") -> int:
    """The peak in bytes of the program that the process runs now; without /proc, always of this process.

    On Linux `ru_maxrss` would not do: a new program inherits it from the process that started it.
    """
    status = Path(f"/proc/{process}/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024
