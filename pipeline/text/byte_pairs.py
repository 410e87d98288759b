"""Byte-pair encoding by ranks: of all neighbours that together are a piece, those of the lowest rank merge.

This is tiktoken's rule (openai/tiktoken, src/lib.rs), by which tekken vocabularies are defined. Of equal
ranks the leftmost merges, and a word that is a piece as a whole is that piece.
"""

from collections.abc import Mapping
from heapq import heapify, heappop, heappush


def merged(word: bytes, ranks: Mapping[bytes, int]) -> list[int]:
    """The ranks of the word's pieces. Each single byte must have one. n log n steps for n bytes."""
    whole = ranks.get(word)
    if whole is not None:
        return [whole]
    length = len(word)
    after = [*range(1, length + 1)]  # where the part that begins at a byte ends
    before = [*range(-1, length)]  # where the part that ends at a byte begins
    pairs = [
        (rank, begin, begin + 2)
        for begin in range(length - 1)
        if (rank := ranks.get(word[begin : begin + 2])) is not None
    ]
    heapify(pairs)
    while pairs:
        _, begin, end = heappop(pairs)
        middle = after[begin]
        # One of the two has merged with another since.
        if middle in (0, end, length) or after[middle] != end:
            continue
        after[begin], after[middle], before[end] = end, 0, begin
        if end < length and (rank := ranks.get(word[begin : after[end]])) is not None:
            heappush(pairs, (rank, begin, after[end]))
        if begin and (rank := ranks.get(word[before[begin] : end])) is not None:
            heappush(pairs, (rank, before[begin], end))
    found, begin = [], 0
    while begin < length:
        found.append(ranks[word[begin : after[begin]]])
        begin = after[begin]
    return found
