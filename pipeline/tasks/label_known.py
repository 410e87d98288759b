"""Which choice a known answer means, where it need not be the choice's name.

It means the choice whose name it is; or else the one whose text it is; or else, of a predicate, true or
false, and on a scale the level with that number. 1 and 1.0 are also "1", and a boolean is also "true" or
"false".
"""

import math
from collections.abc import Mapping
from typing import Any

from pipeline.reporting.known_labels import spellings_of

_TRUTHS = {"true": ("true", "1"), "false": ("false", "0")}  # in small letters


def choice_meant(answer: Any, texts: Mapping[str, str], kind: str = "choice") -> Any:
    """The name of the choice that an answer means; the answer itself where it is a name, or means no choice.

    `texts` are those of the choices, by name; `kind` is the question's type.
    """
    spellings = spellings_of(answer)
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


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
