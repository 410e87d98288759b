"""Prompts without content, of which calibration needs to know what the model says.

A text that says nothing stands in place of every column that a job's prompt is made of.
"""

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import islice
from typing import Any

from model.requests.request import Request
from pipeline.errors import ConfigError, RowError, shortened
from pipeline.tasks.label_calibration import Calibration
from pipeline.text.prompts import Prompt, PromptBuilder

# Of a key, a prompt's token ids and its params: as `RowRequests.start`.
Start = Callable[[str, list[int], str | None], tuple[Request, Any]]
_MOST_SHOWN, _LONGEST_SHOWN = 8, 2_000


def content_free_prompts(
    prompts: PromptBuilder,
    texts: Sequence[str],
    given: Collection[str] = (),
    key: str = "label.calibrate",
) -> list[Prompt]:
    """A job's prompt with each text in place of all columns but those `given` by the job.

    ConfigError if the prompt reads no column, or any that only the rows know, or if a text makes no prompt or
    does not stand in it.
    """
    content = _content(prompts, given, key)
    names = ", ".join(content)
    found = []
    for text in texts:
        try:
            prompt = prompts.build(dict.fromkeys(content, text))
        except RowError as error:
            raise ConfigError(
                f"{key}.prior: {text!r} in place of {names} makes no prompt: {error.message}"
            ) from error
        for made in prompt.texts if prompts.from_template else ():
            if not _stands(text, made):
                raise ConfigError(
                    f"{key}.prior: {text!r} in place of {names} does not stand in the prompt, which is then "
                    f"{shortened(json.dumps(made, ensure_ascii=False), 200)}: input.prompt.template takes it "
                    "apart or reads a part of it; write it with columns of text, or leave calibrate out"
                )
        found.append(prompt)
    return found


def unseen_columns(prompts: PromptBuilder, text: str, given: Collection[str] = ()) -> list[str]:
    """Of the columns that a text replaces, those whose own text does not stand in a prompt.

    A template may read them to decide what it says.
    """
    content = _content(prompts, given, "label.calibrate")
    if not prompts.from_template:
        return []
    unseen = []
    for name in content:
        own = f"{text} in {name}"
        try:
            prompt = prompts.build({**dict.fromkeys(content, text), name: own})
        except RowError:
            prompt = None
        if prompt is None or not all(_stands(own, made) for made in prompt.texts):
            unseen.append(name)
    return unseen


def _content(prompts: PromptBuilder, given: Collection[str], key: str) -> list[str]:
    if prompts.content is None:
        raise ConfigError(
            f"{key}: input.prompt.template reads the row as a whole, so that nobody knows which "
            "columns are its content: name them in the template"
        )
    content = sorted(prompts.content.difference(given))
    if not content:
        raise ConfigError(
            f"{key}: input.prompt.template reads no column, so there is no content to take out of "
            "its prompt: name a column in it, or leave calibrate out"
        )
    return content


def _stands(text: str, within: str) -> bool:
    """Whether a template left the text as it is, but for its letters' case and its white space."""
    looked_for, place = (" ".join(one.casefold().split()) for one in (text, within))
    return looked_for in place


class PriorPrompts:
    """Those of all calibrations of a job. A text is asked once, whichever of them have it."""

    def __init__(self, calibrations: Iterable[Calibration]) -> None:
        self._unseen: dict[str, None] = {}
        self._asked: dict[str, tuple[str, Prompt]] = {}  # by text, with the key of the job file that asks
        for each in calibrations:
            self._unseen |= dict.fromkeys(each.unseen)
            for text, prompt in each.prompts.items():
                self._asked.setdefault(text, (f"{each.key}.prior", prompt))

    @property
    def texts(self) -> list[str]:
        return [*self._asked]

    def requests(self, start: Start) -> list[Request]:
        """What the model is asked, as `start` asks for a row; ConfigError if something can't be asked."""
        requests = []
        for text, (key, prompt) in self._asked.items():
            name = f"{key}: {text!r}"
            try:
                requests.append(start(name, [*prompt.token_ids], prompt.params)[0])
            except RowError as error:
                raise ConfigError(f"{name}: {error.message}") from error
        return requests

    def require_room(self, room: int) -> None:
        """ConfigError if a prompt is longer than so many tokens."""
        for text, (key, prompt) in self._asked.items():
            length = prompt.longest or len(prompt.token_ids)
            if length > room:
                raise ConfigError(
                    f"{key}: the prompt with {text!r} in place of its content has {length} tokens, the "
                    f"context has room for {room}"
                )

    def facts(self) -> list[tuple[str, str]]:
        """What `plan` says of them; of several questions it shows the prompt of the first one."""
        if not self._asked:
            return []
        facts = [
            ("calibration", f"by prompts whose content is replaced by {', '.join(map(repr, self._asked))}")
        ]
        for _, prompt in islice(self._asked.values(), _MOST_SHOWN):
            text = json.dumps(prompt.texts[0], ensure_ascii=False)
            facts.append(("prompt without content", shortened(text, _LONGEST_SHOWN)))
        if self._unseen:
            names = " and ".join(self._unseen)
            facts.append(
                (
                    "warning",
                    f"prompts without content do not show what stands in place of {names}: the template "
                    "reads it to decide what it says, or reads a part of it; see that they hold no content",
                )
            )
        return facts
