"""One step of the engine, in as few forward passes as memory suffices for."""

from model.execution.executor import BatchTooLargeError
from model.execution.ranks import Ranks
from model.execution.read_step import read_step
from model.execution.step_size import StepSize
from model.requests.request import Failure
from model.scheduling.batch import Batch, Row
from model.scheduling.prefix_tree import Prefix
from model.scheduling.sequence import Sequence


def run_divided(
    ranks: Ranks, size: StepSize, of: list[Sequence | Prefix], rows: list[Row]
) -> list[tuple[Sequence | Prefix, Failure | None]]:
    """Compute and read the rows of a step, `of` these; the sequences that have ended with it.

    A prefix is among them if memory did not suffice for it. Rows that read it are not computed.
    """
    done: list[tuple[Sequence | Prefix, Failure | None]] = []
    size.begin()
    while rows:
        part = size.part(rows)
        end = len(part)
        try:
            with ranks.step():
                outputs = ranks.forward(Batch.of(part))
                done += read_step(of[:end], part, outputs)
        except BatchTooLargeError:
            if end > 1:
                size.too_large(part)
                continue
            size.too_large_row()
            done.append((of[0], "out_of_memory"))
            of, rows = _without_readers(of[0], of, rows)
            continue
        size.fitted()
        of, rows = of[end:], rows[end:]
    return done


def _without_readers(
    failed: Sequence | Prefix, of: list[Sequence | Prefix], rows: list[Row]
) -> tuple[list[Sequence | Prefix], list[Row]]:
    """What is left of a step without what failed and what reads it."""
    kept = [
        (one, row) for one, row in zip(of, rows, strict=True) if one is not failed and not one.reads(failed)
    ]
    return [one for one, _ in kept], [row for _, row in kept]
