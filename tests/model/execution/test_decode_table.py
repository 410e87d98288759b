"""A table that was set ahead is the one that would be set at once."""

from types import SimpleNamespace

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.execution.decode_table import FIRST_PAGE, DecodeTable
from model.scheduling.batch import Phase, Row
from model.sliding_window import SlidingWindow

SIZE, MOST_PAGES, SPARE_SLOT = 4, 6, 99


def table_of(window):
    window, cpu = SlidingWindow(window, 3), torch.device("cpu")
    cache = SimpleNamespace(page_size=3, spare_page=50, device=cpu, window=window)
    return DecodeTable(SIZE, MOST_PAGES, cache, SPARE_SLOT)


def seen(table, rows):
    """What a step reads: of each row its numbers and pages, and all of the spare rows."""
    numbers = table.fill(rows).tolist()
    read = [line[: FIRST_PAGE + len(row.pages)] for line, row in zip(numbers, rows, strict=False)]
    return read + numbers[len(rows) :]


def row(slot, trunk, pages, token):
    return Row(Phase.DECODE, slot, trunk - 1, [token], pages)


# What becomes of each row from one step to the next: it goes on, ends, or another takes its slot
steps = st.lists(st.lists(st.sampled_from(["on", "on", "on", "ends", "other"]), min_size=SIZE, max_size=SIZE))


@settings(deadline=None)
@given(steps, st.sampled_from([None, 4]), st.randoms(use_true_random=False))
def test_rows_that_go_on_end_or_change_are_all_as_if_set_anew(steps, window, random):
    ahead = table_of(window)
    rows = [row(slot, 2 + slot, [slot, 10 + slot], slot) for slot in range(SIZE)]
    for fates in [["on"] * SIZE, *steps]:
        after = []
        for one, fate in zip(rows, fates, strict=False):
            if fate == "ends":
                continue
            pages, trunk = one.pages, one.trunk + 1
            if fate == "other":
                pages, trunk = [random.randrange(40) for _ in pages], random.choice([trunk, 2])
            if trunk > len(pages) * 3:
                pages += [random.randrange(40)]  # in place, as a row gets its pages
            if len(pages) <= MOST_PAGES:
                after.append(row(one.slot, trunk, pages, random.randrange(1000)))
        rows = after
        assert seen(ahead, rows) == seen(table_of(window), rows)
        ahead.foresee(rows)


def test_only_the_token_of_a_row_that_goes_on_is_set_after_the_step_before(monkeypatch):
    table, set_anew = table_of(None), []
    one, other = row(0, 5, [1, 2], 7), row(1, 6, [3, 4], 8)
    table.fill([one, other])
    table.foresee([one, other])
    monkeypatch.setattr(table, "_set", lambda numbers, row, trunk: set_anew.append(row.slot))
    table.fill([row(0, 6, [1, 2], 9), row(1, 7, [3, 4, 5], 9)])
    assert set_anew == [1], "its third page was not foreseen"
