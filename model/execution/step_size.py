"""How much is computed at a time, where memory has not sufficed for a step.

A step's rows come in this order: those that decode, one token each; then whole prompts with their trees.
"""

import logging
import time

from model.scheduling.batch import Phase, Row

GROWS_AFTER = 64  # parts of steps that fit one after the other; then the limit is doubled
_LOG_SECONDS = 60.0

logger = logging.getLogger(__name__)


class StepSize:
    def __init__(self) -> None:
        self.most: int | None = None  # tokens of a part with several rows; None: steps are not divided
        self._before: int | None = None
        self._fitted = 0  # parts since the limit has changed
        self._largest = 0  # tokens of the largest part that did not fit
        self._logged: float | None = None

    def divide(self, rows: list[Row]) -> list[slice]:
        """A step -> the parts to run one after the other: all of it, unless that was too much before."""
        self._before = self.most
        if self.most is None or _tokens(rows) <= self.most:
            return [slice(0, len(rows))]
        prompts = _first_prompt(rows)
        return [*_packed(rows, 0, prompts, self.most), *_packed(rows, prompts, len(rows), self.most)]

    def split(self, rows: list[Row], part: slice) -> list[slice]:
        """Two parts in place of one of several rows that did not fit; later steps begin with what may fit.

        Prompts are set aside first: rows that decode are seldom the cause. Then each half has about as many
        tokens as the other.
        """
        tokens = _tokens(rows[part])
        self.most, self._fitted = max(1, tokens // 2), 0
        self._largest = max(self._largest, tokens)
        self._log(rows[part], tokens)
        border = part.start + _first_prompt(rows[part])
        if border in (part.start, part.stop):
            border, half = part.start + 1, rows[part.start].length
            while border < part.stop - 1 and half + rows[border].length <= tokens // 2:
                half += rows[border].length
                border += 1
        return [slice(part.start, border), slice(border, part.stop)]

    def fitted(self) -> None:
        """A part did fit. After some of them larger ones are tried again."""
        if self.most is None:
            return
        self._fitted += 1
        if self._fitted == GROWS_AFTER:
            self._fitted, self.most = 0, self.most * 2
            if self.most >= self._largest:
                self.most, self._largest = None, 0
                logger.info("steps are whole again")

    def row_failed(self) -> None:
        """A row did not fit alone: it was the cause, and not how many tokens the step had."""
        self.most, self._fitted = self._before, 0

    def _log(self, rows: list[Row], tokens: int) -> None:
        now = time.monotonic()
        if self._logged is None or now - self._logged >= _LOG_SECONDS:
            self._logged = now
            logger.warning(
                "the device's memory did not suffice for %d rows with %d tokens in one step: they are run in "
                "parts, and so are steps of more than %d tokens until %d parts have fitted",
                len(rows),
                tokens,
                self.most,
                GROWS_AFTER,
            )


def _tokens(rows: list[Row]) -> int:
    return sum(row.length for row in rows)


def _first_prompt(rows: list[Row]) -> int:
    return next((i for i, row in enumerate(rows) if row.phase is Phase.PREFILL), len(rows))


def _packed(rows: list[Row], first: int, end: int, most: int) -> list[slice]:
    """Rows `first` to `end` as parts of up to `most` tokens, or of one row."""
    parts, tokens = [], 0
    for i in range(first, end):
        if not parts or tokens + rows[i].length > most:
            parts.append(slice(i, i))
            tokens = 0
        parts[-1] = slice(parts[-1].start, i + 1)
        tokens += rows[i].length
    return parts
