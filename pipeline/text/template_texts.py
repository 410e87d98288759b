"""The filters that make one text of another one: they pay for the text, for the work, and for its pieces."""

import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from jinja2.filters import FILTERS
from jinja2.utils import _PassArg

from pipeline.text.template_budget import budget
from pipeline.text.template_methods import words

OF_TEXT = words("capitalize lower title trim truncate upper wordcount")
_DEAR = {"title": 1, "wordcount": 2}  # that many times a text is halved for the steps of going over it
_PIECE = 170  # bytes of a word of one letter: as jinja2's `title` finds it, and as it makes it
_SPACES = "".join(filter(str.isspace, map(chr, range(0x3001))))  # all that Python counts as white space
_BEFORE_WORDS = _SPACES + "-({[<"  # what jinja2's `title` takes for the ends of words
_WORD = re.compile(r"\w+")


def text_filters() -> dict[str, Callable[..., Any]]:
    own = {"wordcount": _count_words}
    return {name: _paying(name, own.get(name, FILTERS[name])) for name in OF_TEXT}


def _paying(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """One of jinja2's; some take the environment first, and all others make text of what they are given."""
    position = _PassArg.from_obj(function) is not None
    shift = _DEAR.get(name, 5)

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        spend = budget.get()
        text = spend.as_text(args[position])
        spend.work(len(text) >> shift)
        if name == "title":
            spend.keep(_PIECE * (1 + 2 * sum(map(text.count, _BEFORE_WORDS))))
        further = args[position + 1 :]
        for option in (*further, *kwargs.values()):
            spend.weigh(option)
            if isinstance(option, str):
                spend.work(len(text) * len(option) >> 10)  # `trim` takes away any of these characters
        made = function(*args[:position], text, *further, **kwargs)
        if isinstance(made, str):
            spend.keep_longer(made, than=text)
        return made

    return run


def _count_words(text: str) -> int:
    return sum(1 for _ in _WORD.finditer(text))
