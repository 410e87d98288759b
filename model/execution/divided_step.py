"""One step of the engine, in as few forward passes as memory suffices for."""

from model.execution.executor import BatchTooLargeError
from model.execution.ranks import Ranks
from model.execution.read_step import read_step
from model.execution.step_size import StepSize
from model.requests.request import Failure
from model.scheduling.batch import Batch, Row
from model.scheduling.scheduler import Sequence


def run_divided(
    ranks: Ranks, size: StepSize, sequences: list[Sequence], rows: list[Row]
) -> list[tuple[Sequence, Failure | None]]:
    """Compute and read the rows of a step; the sequences that have ended with it."""
    done: list[tuple[Sequence, Failure | None]] = []
    size.begin()
    while rows:
        part = size.part(rows)
        end = len(part)
        try:
            with ranks.step():
                outputs = ranks.forward(Batch.of(part))
                done += read_step(sequences[:end], part, outputs)
        except BatchTooLargeError:
            if end > 1:
                size.too_large(part)
                continue
            size.too_large_row()
            done.append((sequences[0], "out_of_memory"))
        else:
            size.fitted()
        sequences, rows = sequences[end:], rows[end:]
    return done
