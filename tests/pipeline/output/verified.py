"""What `verify` finds in an output folder, and the files there."""

from pathlib import Path

from pipeline.output.verified import Verified
from pipeline.output.verify import verify
from pipeline.reporting.check_progress import CheckProgress
from pipeline.storage.open_store import open_store
from pipeline.storage.store import Store


def verified(place: Path | Store) -> Verified:
    found = Verified()
    with CheckProgress() as progress:
        verify(place if isinstance(place, Store) else open_store(place), found, progress)
    return found


def damaged(place: Path) -> dict[str, str]:
    """What is wrong with each damaged file."""
    return {one.path: one.what for one in verified(place).damage}


def part(out: Path, number: int) -> Path:
    return sorted(out.glob("generations/*"))[number]


def name(out: Path, path: Path) -> str:
    return str(path.relative_to(out))
