"""A long list of names, asked for in ranges side by side: a store gives some 1,000 in an answer."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise

_AT_ONCE = 16


async def in_ranges(
    names_between: Callable[[str | None, str | None], Awaitable[list[str]]], cuts: Sequence[str]
) -> list[str]:
    """What `names_between` gives, from no bound to the first of `cuts`, from that to the next, and so on."""
    seats = asyncio.Semaphore(_AT_ONCE)

    async def seated(first: str | None, last: str | None) -> list[str]:
        async with seats:
            return await names_between(first, last)

    ranges = await asyncio.gather(*(seated(*bounds) for bounds in pairwise((None, *cuts, None))))
    return [name for names in ranges for name in names]
