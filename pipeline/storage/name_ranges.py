"""A long list of names, asked for in ranges side by side: a store gives some 1,000 in an answer."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise

_AT_ONCE = 10  # as many connections as botocore keeps


async def in_ranges(
    names_between: Callable[[str | None, str | None], Awaitable[list[str]]], cuts: Sequence[str]
) -> list[str]:
    """What `names_between` gives, from no bound to the first of `cuts`, from that to the next, and so on.

    A cut must be in one of its two ranges, be it always the first or always the second. The first failure
    ends all.
    """
    seats = asyncio.Semaphore(_AT_ONCE)

    async def seated(first: str | None, last: str | None) -> list[str]:
        async with seats:
            return await names_between(first, last)

    asking = [asyncio.ensure_future(seated(*bounds)) for bounds in pairwise((None, *cuts, None))]
    try:
        return [name for names in await asyncio.gather(*asking) for name in names]
    finally:
        for one in asking:
            one.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
