import pytest

from tests.hostile.memory import LIMIT, peak


def test_memory_of_reading_does_not_grow_with_the_file() -> None:
    """Ten times the file; `python -m tests.hostile.memory` does the same with 2 GB, which takes minutes."""
    rows, memory = peak(20)
    more_rows, more_memory = peak(200)
    assert more_rows == pytest.approx(10 * rows, rel=0.1)
    assert more_memory <= LIMIT * memory
