"""How much is computed at a time, where memory has not sufficed for a step.

Rows of a step come in this order: those that decode, one token each; then prompts or parts of them, with
their trees.
"""

import logging
import time

from model.scheduling.batch import Phase, Row

GROWS_AFTER = 64  # parts of steps that fit one after the other; then twice as many tokens are tried
_LOG_SECONDS = 60.0

logger = logging.getLogger(__name__)


class StepSize:
    def __init__(self) -> None:
        self.most: int | None = None  # tokens of several rows together; None: steps are not divided
        self._at_start: int | None = None  # `most` when the step began
        self._fitted = 0  # parts since `most` has changed
        self._largest = 0  # tokens that did not fit, at most
        self._logged: float | None = None

    def begin(self) -> None:
        """A step begins."""
        self._at_start = self.most

    def part(self, rows: list[Row]) -> list[Row]:
        """Rows of a step that have not run -> the first of them, which run next.

        Prompts that would make it too large are set aside: rows that decode are seldom the cause.
        """
        if self.most is None or _tokens(rows) <= self.most:
            return rows
        tokens = 0
        for i, row in enumerate(rows):
            tokens += row.length
            if i and (tokens > self.most or row.phase is not rows[0].phase):
                return rows[:i]
        return rows

    def too_large(self, rows: list[Row]) -> None:
        """Several rows did not fit together: so many tokens are not tried again for a while."""
        tokens, decoding = _tokens(rows), sum(row.phase is Phase.DECODE for row in rows)
        self.most = max(decoding, tokens - decoding) if 0 < decoding < len(rows) else max(1, tokens // 2)
        self._fitted, self._largest = 0, max(self._largest, tokens)
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

    def too_large_row(self) -> None:
        """A row did not fit alone: it was the cause, and not how many tokens there were."""
        self.most, self._fitted = self._at_start, 0

    def fitted(self) -> None:
        if self.most is None:
            return
        self._fitted += 1
        if self._fitted == GROWS_AFTER:
            self._fitted, self.most = 0, self.most * 2
            if self.most >= self._largest:
                self.most, self._largest = None, 0
                logger.info("steps run whole again")


def _tokens(rows: list[Row]) -> int:
    return sum(row.length for row in rows)
