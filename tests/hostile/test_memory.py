import pytest

from tests.hostile.memory import LIMIT, peak


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("small", "large"), [(10, 100), pytest.param(100, 2000, marks=pytest.mark.slow)])
def test_memory_of_reading_does_not_grow_with_the_file(small: int, large: int) -> None:
    """`python -m tests.hostile.memory` does the same and prints the figures."""
    rows, memory = peak(small)
    more_rows, more_memory = peak(large)
    assert more_rows == pytest.approx(large / small * rows, rel=0.1)
    assert more_memory <= LIMIT * memory
