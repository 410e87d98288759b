"""After a step: each row reads its outputs, rows of one kind in one call, and some rows end.

M outputs of one head: of tokens, or of what is asked about them.
"""

from collections import defaultdict

import torch
from torch import Tensor

from model.requests.readout import Head, Reading
from model.requests.request import Failure
from model.scheduling.batch import Row
from model.scheduling.prefix_tree import Prefix
from model.scheduling.sequence import Sequence


def read_step(
    of: list[Sequence | Prefix], rows: list[Row], outputs: dict[Head, Tensor]
) -> list[tuple[Sequence, Failure | None]]:
    """Rows of the step and each head's outputs [M, ...] -> rows that have ended, and why if they failed.

    `of`: what each row is a part of. Parts of prompts of which nothing is read are passed over.
    A row fails alone if an output that it reads is NaN or infinite.
    """
    finite = {head: _are_finite(of_head) for head, of_head in outputs.items()}
    ends = dict.fromkeys(outputs, 0)
    alike: dict[tuple[type[Reading], Head], list[tuple[Sequence, slice]]] = defaultdict(list)
    done: list[tuple[Sequence, Failure | None]] = []
    for sequence, row in zip(of, rows, strict=True):
        if not row.num_read:
            continue
        assert isinstance(sequence, Sequence)
        part = slice(ends[row.head], ends[row.head] + row.num_outputs)
        ends[row.head] = part.stop
        if all(finite[row.head][part]):
            alike[type(sequence.reading), row.head].append((sequence, part))
        else:
            done.append((sequence, "nan_logits"))
    for (kind, head), members in alike.items():
        readings = [sequence.reading for sequence, _ in members]
        ended = kind.take(readings, outputs[head], [part for _, part in members])
        for (sequence, _), end in zip(members, ended, strict=True):
            assert end or sequence.request.cache_tokens, (
                f"{kind.__name__} goes on, but its readout keeps no tokens"
            )
            if end:
                done.append((sequence, None))
    return done


def _are_finite(outputs: Tensor) -> list[bool]:  # [M, ...] -> [M]
    finite: list[bool] = outputs.reshape(len(outputs), -1).sum(-1, dtype=torch.float32).isfinite().tolist()
    return finite
