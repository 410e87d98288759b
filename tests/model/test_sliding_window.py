"""Which pages of a row a window has passed, and how many the row needs: against counting them."""

from hypothesis import given
from hypothesis import strategies as st

from model.sliding_window import SlidingWindow

windows = st.builds(SlidingWindow, st.integers(1, 70), st.integers(1, 20))


def pages_seen(window, first, end):
    """Pages of tokens up to `end` that any token from number `first` on sees."""
    seen_from = max(0, first - window.size + 1)
    return {token // window.page_size for token in range(seen_from, end)}


@given(windows, st.integers(0, 300))
def test_a_passed_page_is_one_that_no_token_to_come_sees(window, cached):
    needed = pages_seen(window, cached, cached + 1)
    assert {*range(window.passed(cached))}.isdisjoint(needed)
    assert window.passed(cached) in needed


@given(windows, st.integers(1, 300))
def test_what_a_growing_row_holds(window, tokens):
    held = max(len(pages_seen(window, t - 1, t)) for t in range(1, tokens + 1))
    assert held <= window.held(tokens) <= held + 1


@given(windows, st.data())
def test_what_a_part_reads_and_keeps_fits(window, data):
    end = data.draw(st.integers(1, 300))
    begin = data.draw(st.integers(0, end - 1))
    reads, keeps = pages_seen(window, begin, begin), pages_seen(window, end, end)
    assert len(reads | keeps | {(end - 1) // window.page_size}) <= window.prefilled(end)


def test_what_the_longest_row_needs_stops_growing():
    window = SlidingWindow(4096, 16)
    assert [window.needed_tokens(tokens) for tokens in (100, 8000, 32_768, 10**6)] == [100, 8000, 8224, 8224]
    assert window.held(10**6) == 257
    assert SlidingWindow(None, 16).needed_tokens(32_768) == 32_768
    assert (SlidingWindow(None, 16).held(33), SlidingWindow(None, 16).passed(10**6)) == (3, 0)


def test_a_window_hides_nothing_from_rows_within_it():
    assert [SlidingWindow(8, 4).hides(reach) for reach in (8, 9)] == [False, True]
    assert not SlidingWindow(None, 4).hides(10**6)
