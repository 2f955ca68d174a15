"""What an actor does with its inbox, for tests of the bus below the actors."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import NoReturn

from relaymd.bus.bus import Bus, Inbox
from relaymd.bus.subjects import Binding


@asynccontextmanager
async def serving(bus: Bus, *bindings: Binding, service: str = "test") -> AsyncGenerator[None]:
    """Serve until the block ends. An exception of a handler ends it, in an ExceptionGroup."""
    async with bus.serve(service, *bindings) as inbox, asyncio.TaskGroup() as group:
        turns = group.create_task(take_turns(inbox))
        try:
            yield
        finally:
            turns.cancel()


async def take_turns(inbox: Inbox) -> NoReturn:
    async with asyncio.TaskGroup() as group:
        while True:
            delivery = await inbox.get()
            group.create_task(delivery.handle())


async def until(condition: Callable[[], object], within: float = 10.0) -> None:
    """Wait for a condition to become true, which nothing announces."""
    deadline = asyncio.get_running_loop().time() + within
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.002)
