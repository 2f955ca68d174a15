"""Doing the same to many things at once, within a bound."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from itertools import chain, islice
from typing import TypeVar, cast

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE = 16
"""Objects on their way at a time: with chunks of 4 MiB, 64 MiB of memory."""


async def each(
    items: Iterable[T], work: Callable[[T], Awaitable[R]], *, at_once: int = AT_ONCE
) -> list[R]:
    """Await the work on every item and return the results in the items' order.

    The first error ends everything that is still under way and is raised as it is.
    """
    waiting = iter(enumerate(items))
    begun = [*islice(waiting, at_once)]
    if len(begun) == 1 < at_once:  # most files are one chunk, and a task costs more than a wait
        return [await work(begun[0][1])]
    results: dict[int, R] = {}

    async def take_turns(begin: tuple[int, T]) -> None:
        for index, item in chain([begin], waiting):
            results[index] = await work(item)

    try:
        async with asyncio.TaskGroup() as tasks:
            for begin in begun:
                tasks.create_task(take_turns(begin))
    except ExceptionGroup as group:
        raise first_error(group) from None
    return [results[index] for index in range(len(results))]


def first_error(error: Exception) -> Exception:
    """What made a group of tasks fail: the others were only cancelled."""
    while isinstance(error, ExceptionGroup):
        error = cast(ExceptionGroup[Exception], error).exceptions[0]
    return error
