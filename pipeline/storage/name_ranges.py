"""A long list of names, requested in ranges in parallel: a store returns some 1,000 names per request."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise

_AT_ONCE = 10  # requests; botocore keeps 10 connections


async def in_ranges(
    names_between: Callable[[str | None, str | None], Awaitable[list[str]]], cuts: Sequence[str]
) -> list[str]:
    """The names that `names_between` returns for the ranges before, between and after `cuts`, in order.

    None is an open bound. `names_between` must count a cut always to the range before it, or always to the
    one after it. The first range that fails cancels the others.
    """
    slots = asyncio.Semaphore(_AT_ONCE)

    async def in_slot(first: str | None, last: str | None) -> list[str]:
        async with slots:
            return await names_between(first, last)

    ranges = [asyncio.ensure_future(in_slot(*bounds)) for bounds in pairwise((None, *cuts, None))]
    try:
        return [name for names in await asyncio.gather(*ranges) for name in names]
    finally:
        for one in ranges:
            one.cancel()
        await asyncio.gather(*ranges, return_exceptions=True)
