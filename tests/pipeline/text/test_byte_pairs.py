"""Byte pairs by rank, beside the plain way and tiktoken."""

from itertools import pairwise

import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.text.byte_pairs import merged


def plainly(word: bytes, ranks: dict[bytes, int]) -> list[int]:
    """Merge the leftmost pair of the lowest rank until there is none."""
    parts = [word] if word in ranks else [bytes([byte]) for byte in word]
    while True:
        pairs = [(ranks.get(a + b, 1 << 30), i) for i, (a, b) in enumerate(pairwise(parts))]
        rank, place = min(pairs, default=(1 << 30, 0))
        if rank == 1 << 30:
            return [ranks[part] for part in parts]
        parts[place : place + 2] = [parts[place] + parts[place + 1]]


@settings(max_examples=300, deadline=None)
@given(
    pieces=st.lists(st.text("abc", min_size=2, max_size=5), unique=True, max_size=12),
    word=st.text("abc", min_size=1, max_size=30),
)
def test_equals_the_plain_way_and_tiktoken(pieces: list[str], word: str) -> None:
    ranks = {piece.encode(): rank for rank, piece in enumerate(["a", "b", "c", *pieces])}
    found = merged(word.encode(), ranks)
    assert found == plainly(word.encode(), ranks)
    oracle = tiktoken.Encoding("test", pat_str=r"[\s\S]+", mergeable_ranks=ranks, special_tokens={})
    assert found == oracle.encode_ordinary(word)


def test_a_long_word_takes_no_square_of_its_length() -> None:
    ranks = {b"a" * (1 << power): power for power in range(5)}
    word = b"a" * 200_000
    assert merged(word, ranks) == [4] * (len(word) // 16)
