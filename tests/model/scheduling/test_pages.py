"""How many pages rows may come to need, and which of the free ones they get."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.scheduling.pages import Growth, PageAllocator, worst_case


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20)), max_size=6), st.integers(1, 5))
def test_the_worst_case_is_that_of_every_moment(rows, page_size):
    moments = [sum(-(-(kept + t) // page_size) for kept, further in rows if further >= t) for t in range(21)]
    assert worst_case([Growth(*row) for row in rows], page_size) == max(moments)


def test_the_lowest_pages_go_first():
    allocator = PageAllocator(5)
    first = allocator.take(3)
    allocator.give([first[1]])
    assert (first, allocator.take(2), allocator.free) == ([0, 1, 2], [1, 3], 1)


def test_nothing_runs_and_nothing_is_needed():
    assert worst_case([], 4) == 0


def test_more_pages_than_there_are_is_a_bug_of_whoever_admits():
    with pytest.raises(AssertionError, match="admitted only while their worst case fits"):
        PageAllocator(2).take(3)
