"""How many pages rows will come to need, and which of the free ones they get."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.scheduling.pages import PageAllocator, PagesToCome

ROW = st.tuples(st.integers(1, 20), st.integers(0, 12))  # tokens kept, further ones


def most(rows, page_size):
    """By every moment: rows are (kept, further) and end after their last token."""
    moments = range(max((further for _, further in rows), default=0) + 1)
    needed = [sum(-(-(kept + t) // page_size) for kept, further in rows if further >= t) for t in moments]
    return max(needed)


@settings(max_examples=20, deadline=None)
@given(st.data(), st.integers(1, 5))
def test_the_need_is_that_of_every_moment_whoever_comes_and_goes(data, page_size):
    to_come, rows = PagesToCome(5, page_size), {}
    for _ in range(data.draw(st.integers(1, 12))):
        to_come.now += 1
        rows = {slot: (kept + 1, further - 1) for slot, (kept, further) in rows.items()}
        assert to_come.overdue() == sorted(slot for slot, (_, further) in rows.items() if further < 0)
        for slot in [*rows]:
            if rows[slot][1] < 0 or data.draw(st.booleans()):
                del rows[slot]
                to_come.remove(slot)
        for slot in {*range(5)} - rows.keys():
            if data.draw(st.booleans()):
                row = data.draw(ROW)
                assert to_come.most_with(*row) == most([*rows.values(), row], page_size)
                rows[slot] = row
                to_come.add(slot, *row)
        assert to_come.most() == most([*rows.values()], page_size)


def test_a_row_that_is_not_there_may_be_removed():
    to_come = PagesToCome(2, 4)
    to_come.add(0, 5, 5)
    to_come.remove(1)
    assert to_come.most() == 3


def test_the_lowest_pages_go_first():
    allocator = PageAllocator(5)
    first = allocator.take(3)
    allocator.give([first[1]])
    assert (first, allocator.take(2), allocator.free) == ([0, 1, 2], [1, 3], 1)


def test_more_pages_than_there_are_is_a_bug_of_whoever_takes_them():
    with pytest.raises(AssertionError, match="room is made before pages are taken"):
        PageAllocator(2).take(3)
