"""What `verify` finds in an output folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pipeline.errors import DamagedFile


@dataclass
class Verified:
    """The damage, and what is whole."""

    damage: list[DamagedFile] = field(default_factory=list)
    parts: int = 0  # those that are whole
    rows: int = 0
    size: int = 0  # bytes of the parts and their router tables
    to_do: int = 0  # shards
    finished: bool = True  # each plan file has its _SUCCESS
    summable: bool = True  # no plan, part or router table of a part is damaged

    @contextmanager
    def noting(self, summed: bool = False) -> Iterator[None]:
        """`summed`: of a file without which the sums over the parts are not known."""
        try:
            yield
        except DamagedFile as one:
            self.note(one, summed)

    def note(self, one: DamagedFile, summed: bool) -> None:
        self.damage.append(one)
        self.summable = self.summable and not summed
