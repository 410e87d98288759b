"""Rows that have ended become completions, and their slots are free again."""

from collections.abc import Iterable

from model.requests.request import Completion, Failure
from model.requests.row_routing import RowRouting
from model.routing.recorder import RoutingRecorder
from model.scheduling.prefix_tree import Prefix
from model.scheduling.scheduler import Scheduler, Step
from model.scheduling.sequence import Sequence

Ended = tuple[Sequence, Failure | None]


def take_counts_of_set_back(step: Step, recorder: RoutingRecorder | None) -> None:
    """Before a step: keep what the router did with rows that were set back; others will have their slots."""
    if recorder is None or not (step.set_back or step.forgotten):
        return
    taken = recorder.take([*(slot for slot, _ in step.set_back), *step.forgotten])
    for (_, sequence), routing in zip(step.set_back, taken, strict=False):
        kept = routing if sequence.was_read else routing.only_computed()
        sequence.routing = kept if sequence.routing is None else sequence.routing + kept


def end_rows(
    scheduler: Scheduler,
    recorder: RoutingRecorder | None,
    step: Step,
    ended: Iterable[tuple[Sequence | Prefix, Failure | None]],
) -> list[Completion]:
    """Without those whose other parts run on: see `model.requests.split_row`.

    A prefix that has ended has failed, and all rows that read it with it.
    """
    ended = list(ended)
    failed = [one for one, _ in ended if isinstance(one, Prefix)]
    rows: list[Ended] = [(one, failure) for one, failure in ended if isinstance(one, Sequence)]
    rows += dict.fromkeys((one, "out_of_memory") for prefix in failed for one in scheduler.readers(prefix))
    prefixes = [one for one in step.of if isinstance(one, Prefix) and one.computed and one not in failed]
    routing = _take(recorder, [one for one, _ in rows], prefixes)
    done: list[Completion] = []
    for (sequence, failure), of_row in zip(rows, routing, strict=True):
        shared = sequence.shared_routing
        scheduler.release(sequence)
        completion = Completion(sequence.request.key, sequence.reading.answer, of_row, failure, shared)
        if sequence.part_of is None:
            done.append(completion)
        else:
            whole, part = sequence.part_of
            done += filter(None, [whole.end_part(part, completion)])
    for prefix in failed:
        scheduler.drop(prefix)
    return done


def _take(
    recorder: RoutingRecorder | None, rows: list[Sequence], prefixes: list[Prefix]
) -> list[RowRouting | None]:
    """What the router did with rows that end; that of prefixes is kept for the rows that read them."""
    if recorder is None or not (rows or prefixes):
        return [None] * len(rows)
    taken = recorder.take([*(one.slot for one in prefixes), *(one.slot for one in rows)])
    for prefix, own in zip(prefixes, taken, strict=False):
        above = prefix.parent.routing if prefix.parent else None
        prefix.routing = own.not_computed() if above is None else own.not_computed() + above
        if isinstance(prefix.computed_for, Sequence):
            prefix.computed_for.prefixes_computed.append(own.only_computed())
    return [_whole(row, own) for row, own in zip(rows, taken[len(prefixes) :], strict=True)]


def _whole(row: Sequence, own: RowRouting) -> RowRouting:
    """With what was counted before the row was set back, and with its prefix."""
    for part in (row.routing, row.shared_routing, *row.prefixes_computed):
        own = own if part is None else own + part
    return own
