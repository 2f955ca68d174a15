"""Waiting for whatever comes first, and leaving nothing of the rest behind."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from relaymd.worker.held import Held, Wish

A = TypeVar("A")
B = TypeVar("B")


async def unless(held: Held, wish: Wish, work: Coroutine[Any, Any, A]) -> A | None:
    """Do the work, unless so much is wished of the lease before it is done: then None."""
    return await before(held.wished(wish), work)


async def within(seconds: float, work: Coroutine[Any, Any, A]) -> A | None:
    """Do the work, unless the time is over before it is done: then None."""
    limit = asyncio.timeout(max(seconds, 0.0))
    try:
        async with limit:
            return await work
    except TimeoutError:
        if limit.expired():
            return None
        raise


async def before(end: Coroutine[Any, Any, None], work: Coroutine[Any, Any, A]) -> A | None:
    """Do the work, unless `end` returns first: then it is cancelled, and None comes back.

    Raises what either raises.
    """
    return await first(work, end)


async def first(one: Coroutine[Any, Any, A], other: Coroutine[Any, Any, B]) -> A | B:
    """The result of whichever returns first; the other is cancelled."""
    async with beside() as group:
        a, b = group.create_task(one), group.create_task(other)
        await asyncio.wait({a, b}, return_when=asyncio.FIRST_COMPLETED)
        a.cancel()
        b.cancel()
    return b.result() if a.cancelled() else a.result()


@asynccontextmanager
async def beside(*works: Coroutine[Any, Any, object]) -> AsyncGenerator[asyncio.TaskGroup]:
    """Run works beside the block, and cancel them when it ends.

    What one of them raises ends the block, as itself.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
            try:
                yield group
            finally:
                for task in tasks:
                    task.cancel()
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
