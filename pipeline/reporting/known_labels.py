"""The right labels of rows, out of a kept column, and which choice each of them means."""

import json
from collections.abc import Collection, Sequence
from typing import Any

import pyarrow as pa


def known_answers(rows: pa.Table, column: str) -> list[Any]:
    """The values of a kept column, those too that do not fit its type."""
    values: list[Any] = rows[column].to_pylist()
    for row, text in enumerate(rows["kept_unfit"].to_pylist()):
        if text and values[row] is None:
            values[row] = json.loads(text).get(column)
    return values


def is_right(label: str, answer: Any) -> bool:
    return label in spellings_of(answer)


def meant(answer: Any, label: str, names: Collection[str]) -> str | None:
    """Which of the choices a known answer means; None if it is none of them.

    The row's own label goes first: it is right if the answer can be read so.
    """
    spellings = spellings_of(answer)
    return label if label in spellings else next((name for name in names if name in spellings), None)


def known_and_right(labels: Sequence[str | None], answers: Sequence[Any]) -> tuple[int, int]:
    """How many labelled rows have a known answer, and how many of those are right."""
    right = [
        is_right(label, answer)
        for label, answer in zip(labels, answers, strict=True)
        if label is not None and answer is not None
    ]
    return len(right), sum(right)


def spellings_of(answer: Any) -> set[str]:
    """The names of a choice that a known answer stands for: 1 is also "1", 1.0 too, and true is "true"."""
    spellings = {str(answer)}
    if isinstance(answer, bool):
        spellings.add(str(answer).lower())
    elif isinstance(answer, float) and answer.is_integer():
        spellings.add(str(int(answer)))
    return spellings
