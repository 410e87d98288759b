"""After a step: each row reads its outputs, rows of one kind in one call, and some rows end.

M outputs of one head: of tokens, or of what is asked about them.
"""

from collections import defaultdict

import torch
from torch import Tensor

from model.machine.to_host import to_host
from model.requests.readout import Head, Reading
from model.requests.request import Failure
from model.scheduling.batch import Row
from model.scheduling.prefix_tree import Prefix
from model.scheduling.sequence import Sequence

# Rows that are read together, and whether more of their prompts is read in the steps to come
Kind = tuple[type[Reading], Head, bool]


def read_step(
    of: list[Sequence | Prefix], rows: list[Row], outputs: dict[Head, Tensor]
) -> list[tuple[Sequence, Failure | None]]:
    """Rows of the step and each head's outputs [M, ...] -> rows that have ended, and why if they failed.

    `of`: what each row is a part of. Parts of prompts of which nothing is read are passed over.
    A row fails alone if an output that it reads is NaN or infinite.
    """
    ends = dict.fromkeys(outputs, 0)
    alike: dict[Kind, list[tuple[Sequence, slice]]] = defaultdict(list)
    for sequence, row in zip(of, rows, strict=True):
        if not row.num_read:
            continue
        assert isinstance(sequence, Sequence)
        part = slice(ends[row.head], ends[row.head] + row.num_outputs)
        ends[row.head] = part.stop
        alike[type(sequence.reading), row.head, row.reads_on].append((sequence, part))
    outputs, broken, reduced = _to_host(alike, outputs)
    failed: list[tuple[Sequence, Failure | None]] = []
    done: list[tuple[Sequence, Failure | None]] = []
    for (kind, head, reads_on), members in alike.items():
        numbers = reduced.get((kind, head, reads_on))
        fine: list[tuple[Sequence, slice]] = []
        for i, (sequence, part) in enumerate(members):
            if any(broken[head][part]):
                failed.append((sequence, "nan_logits"))
            else:
                fine.append((sequence, part if numbers is None else slice(i, i + 1)))
        readings, parts = [sequence.reading for sequence, _ in fine], [part for _, part in fine]
        if fine and reads_on:
            kind.take_some(readings, outputs[head], parts)
        elif fine:
            ended = kind.take(readings, outputs[head] if numbers is None else numbers, parts)
            for (sequence, _), end in zip(fine, ended, strict=True):
                assert end or sequence.request.cache_tokens, (
                    f"{kind.__name__} goes on, but its readout keeps no tokens"
                )
                if end:
                    done.append((sequence, None))
    return failed + done


def _to_host(
    alike: dict[Kind, list[tuple[Sequence, slice]]], outputs: dict[Head, Tensor]
) -> tuple[dict[Head, Tensor], dict[Head, list[float]], dict[Kind, Tensor]]:
    """All that the host needs of a step, in one copy.

    The outputs, of which only log-probabilities are few enough to come; which of them are NaN or infinite,
    [M] each; and what kinds of rows reduce theirs to.
    """
    wanted: dict[Kind | Head, Tensor] = {}
    for (kind, head, reads_on), members in alike.items():
        if reads_on:
            continue
        parts = [part for _, part in members]
        numbers = kind.reduce([sequence.reading for sequence, _ in members], outputs[head], parts)
        if numbers is not None:
            wanted[kind, head, reads_on] = numbers
    for head, of_head in outputs.items():
        wanted[head] = of_head if head is Head.LOGPROBS else _are_broken(of_head)
    here = to_host(wanted)
    broken = {head: here[head].tolist() for head in outputs}
    if Head.LOGPROBS in outputs:
        logprobs = here[Head.LOGPROBS]
        outputs = outputs | {Head.LOGPROBS: logprobs}
        broken[Head.LOGPROBS] = _are_broken(logprobs).tolist()
    return outputs, broken, {kind: here[kind] for kind in alike if kind in here}


def _are_broken(outputs: Tensor) -> Tensor:  # [M, ...] -> [M]
    sums = outputs.flatten(1).sum(-1, dtype=torch.float32) if outputs.dim() > 1 else outputs
    return ~sums.isfinite()
