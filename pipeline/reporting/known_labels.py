"""The right labels of rows, out of a kept column, and which choice each of them means.

A known answer means the choice whose name it is; or else the one whose text it is; or else, of a predicate,
true or false, and on a scale the level with that number. 1 and 1.0 are also "1", and a boolean is also "true"
or "false".
"""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa

_TRUTHS = {"true": ("true", "1"), "false": ("false", "0")}  # in small letters


def known_answers(rows: pa.Table, column: str) -> list[Any]:
    """The values of a kept column, those too that do not fit its type."""
    values: list[Any] = rows[column].to_pylist()
    for row, text in enumerate(rows["kept_unfit"].to_pylist()):
        if text and values[row] is None:
            values[row] = json.loads(text).get(column)
    return values


def choice_meant(answer: Any, texts: Mapping[str, str], kind: str = "choice") -> Any:
    """The name of the choice that an answer means; the answer itself where it is a name, or means no choice.

    `texts` are those of the choices, by name; `kind` is the question's type.
    """
    spellings = _spellings(answer)
    if not spellings.isdisjoint(texts):
        return answer
    if kind == "predicate":
        spellings = {spelling.casefold() for spelling in spellings}
        texts = {name: text.casefold() for name, text in texts.items()}
    by_text = [name for name, text in texts.items() if text in spellings]
    if by_text:
        return by_text[0]
    if kind == "predicate":
        return next((name for name, ways in _TRUTHS.items() if not spellings.isdisjoint(ways)), answer)
    if kind == "score" and not any(map(_is_number, [*texts, *texts.values()])):
        return next((level for place, level in enumerate(texts) if str(place) in spellings), answer)
    return answer


def is_right(label: str, answer: Any) -> bool:
    return label in _spellings(answer)


def meant(answer: Any, label: str, names: Collection[str]) -> str | None:
    """Which of the choices a known answer means; None if it is none of them.

    The row's own label goes first: it is right if the answer can be read so.
    """
    spellings = _spellings(answer)
    return label if label in spellings else next((name for name in names if name in spellings), None)


def known_and_right(labels: Sequence[str | None], answers: Sequence[Any]) -> tuple[int, int]:
    """How many labelled rows have a known answer, and how many of those are right."""
    right = [
        is_right(label, answer)
        for label, answer in zip(labels, answers, strict=True)
        if label is not None and answer is not None
    ]
    return len(right), sum(right)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _spellings(answer: Any) -> set[str]:
    """The names of a choice that a known answer stands for: 1 is also "1", 1.0 too, and true is "true"."""
    spellings = {str(answer)}
    if isinstance(answer, bool):
        spellings.add(str(answer).lower())
    elif isinstance(answer, float) and answer.is_integer():
        spellings.add(str(int(answer)))
    return spellings
