"""`python -m jobs bench load`: loading weights beside the disk's own speed and transformers' loader."""

from typing import Annotated

import typer

from jobs.arguments import exit_codes
from jobs.bench.options import Checkpoint, Repeats, Size, from_a_clone, measuring


def load(
    checkpoint: Checkpoint = None,
    size: Size = "214m",
    cold: Annotated[
        bool, typer.Option("--cold", help="Ask the kernel to drop the files from memory before.")
    ] = False,
    repeats: Repeats = 5,
) -> None:
    """How fast weights are loaded, beside plain reads of the same files and transformers' loader."""
    with exit_codes():
        with from_a_clone():
            from benchmarks.loading import WAYS, measure_loading
            from benchmarks.machine import machine
            from benchmarks.random_checkpoint import checkpoint_or_random
        from model.checkpoint.fill import THREADS

        with measuring() as status, checkpoint_or_random(checkpoint, size) as folder:
            status.update("loading")
            found = measure_loading(folder, cold, repeats)
    facts = machine(THREADS)
    print(f"{found.size / 1e9:.2f} GB, {'cold' if cold else 'warm'}, {repeats} rounds, {THREADS} threads")
    print(f"{facts['processor']}, {facts['cores']} cores, load average {facts['load_average']:.1f}")
    for way in WAYS:
        print(f"{way:<13}{found.speed(way) / 1e9:.2f} GB/s")
    print(
        f"{found.ratio('disk'):.2f} of the disk's own speed, {found.ratio('transformers'):.1f}x transformers'"
    )
