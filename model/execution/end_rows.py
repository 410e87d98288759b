"""Rows that have ended become completions, and their slots are free again."""

from collections.abc import Iterable

from model.requests.request import Completion, Failure
from model.routing.recorder import RoutingRecorder
from model.scheduling.scheduler import Scheduler, Sequence


def end_rows(
    scheduler: Scheduler,
    recorder: RoutingRecorder | None,
    ended: Iterable[tuple[Sequence, Failure | None]],
) -> list[Completion]:
    """Without those whose other parts run on: see `model.requests.split_row`."""
    ended = list(ended)
    slots = [(sequence.slot, bool(sequence.shared)) for sequence, _ in ended]
    routing = recorder.take(slots) if recorder and ended else [None] * len(ended)
    done: list[Completion] = []
    for (sequence, failure), of_row in zip(ended, routing, strict=True):
        scheduler.release(sequence)
        completion = Completion(sequence.request.key, sequence.reading.answer, of_row, failure)
        if sequence.part_of is None:
            done.append(completion)
        else:
            whole, part = sequence.part_of
            done += filter(None, [whole.end_part(part, completion)])
    return done
