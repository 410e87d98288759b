"""A part of the report's page that a task brings: a picture, a table, and what they show."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it takes a while, and most processes draw nothing
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Exhibit:
    """All texts are plain: what of them could be markup is escaped on the page."""

    title: str
    text: str = ""
    figure: "Figure | None" = None
    alt: str = ""  # says in words what the figure shows
    head: Sequence[str] = ()  # of a table
    lines: Sequence[Sequence[str]] = field(default=(), repr=False)

    @property
    def png(self) -> str | None:
        """The figure in base64, as a page can hold it."""
        return None if self.figure is None else png(self.figure)


def png(figure: "Figure") -> str:
    """A picture in base64."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()
