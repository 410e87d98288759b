from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from model.request import Request
from model.sampling import SamplingParams
from model.scheduler import Scheduler, SegmentAllocator

CACHE, PREFILL = 64, 24


def overlap(segments):
    ordered = sorted(segments)
    return any(end > start for (_, end), (start, _) in pairwise(ordered))


@given(st.lists(st.one_of(st.integers(1, 20), st.integers(-9, -1)), max_size=60))
def test_segments_are_found_wherever_there_is_room(operations):
    """Positive: allocate that length. Negative: free one of the taken segments."""
    allocator, taken = SegmentAllocator(CACHE), {}
    for operation in operations:
        if operation < 0:
            if taken:
                start = sorted(taken)[operation % len(taken)]
                allocator.free(start)
                del taken[start]
            continue
        places = "".join(
            "x" if any(start <= place < end for start, end in taken.items()) else "."
            for place in range(CACHE)
        )
        start = allocator.allocate(operation)
        assert start == (places.index("." * operation) if "." * operation in places else None)
        if start is not None:
            taken[start] = start + operation
            assert start + operation <= CACHE
            assert not overlap(taken.items())
    for start in taken:
        allocator.free(start)
    assert allocator.allocate(CACHE) == 0


ROWS = st.tuples(
    st.integers(1, 50), st.integers(1, 15)
)  # prompt tokens, new tokens: together within the cache


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(ROWS, max_size=12), slots=st.integers(1, 5), data=st.data())
def test_rows_of_any_size_all_run_once(rows, slots, data):
    scheduler = Scheduler(slots, CACHE, PREFILL)
    requests = {
        str(i): Request(str(i), [0] * prompt, SamplingParams(max_new_tokens=new))
        for i, (prompt, new) in enumerate(rows)
    }
    unsent, waiting, running, finished = list(requests), [], {}, []
    while unsent or not scheduler.idle:
        for _ in range(data.draw(st.integers(0, 4)) if unsent else 0):
            if unsent:
                waiting.append(unsent.pop(0))
                scheduler.add(requests[waiting[-1]])
        admitted = scheduler.admit()
        for sequence in admitted:
            key = sequence.request.key
            assert key not in running
            if sequence is admitted[0]:
                assert key == waiting[0], "the row that has waited longest comes first"
            waiting.remove(key)
            running[key] = sequence
        assert admitted or running or not waiting, "an empty engine must take the next row"

        lengths = [len(sequence.request.prompt_token_ids) for sequence in admitted]
        assert max(lengths, default=0) < 2 * min(lengths, default=1)
        assert len(lengths) <= 1 or sum(lengths) <= PREFILL
        segments = [(s.start, s.start + s.request.cache_tokens) for s in running.values()]
        assert not overlap(segments)
        assert all(0 <= start < end <= CACHE for start, end in segments)
        taken = [sequence.slot for sequence in running.values()]
        assert sorted(set(taken)) == sorted(taken)
        assert set(taken) <= set(range(slots))
        assert scheduler.running == {sequence.slot: sequence for sequence in running.values()}

        if running and (not admitted or data.draw(st.booleans())):
            for key in data.draw(st.sets(st.sampled_from(sorted(running)), min_size=1)):
                scheduler.release(running.pop(key))
                finished.append(key)
    assert sorted(finished) == sorted(requests)
    assert sorted(scheduler.free_slots) == [*range(slots)]
    assert scheduler.segments.allocate(CACHE) == 0


def test_short_rows_do_not_overtake_a_long_one_for_ever():
    """The long row waits until its segment is free; what came after it waits too, of whatever length."""
    scheduler = Scheduler(4, CACHE, PREFILL)

    def add(key, prompt):
        scheduler.add(Request(key, [0] * prompt, SamplingParams(max_new_tokens=1)))

    add("first", 10)
    (first,) = scheduler.admit()
    add("long", 60)
    for i in range(20):
        add(f"short {i}", 2)
    assert scheduler.admit() == []
    scheduler.release(first)
    assert [sequence.request.key for sequence in scheduler.admit()] == ["long"]


def test_a_prompt_beyond_the_prefill_budget_goes_alone():
    scheduler = Scheduler(4, CACHE, prefill_tokens=8)
    for key in "abc":
        scheduler.add(Request(key, [0] * 9, SamplingParams(max_new_tokens=1)))
    assert [len(scheduler.admit()) for _ in range(4)] == [1, 1, 1, 0]
