"""What the stack says of itself while it is hurt: all its events, and who holds what."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path

from relaymd.bus import contract
from relaymd.bus.bus import Bus, BusError
from relaymd.bus.facts import JobChanged
from relaymd.bus.journal import NatsJournal
from relaymd.bus.operating import AskStatus, ListWorkers, Status, WorkerView
from relaymd.cli.facts import decode
from relaymd.cli.words import Fact
from relaymd.core.ids import JobId
from tests.system.stack import operator

ASK_WITHIN = 1.0
ASK_AGAIN = 0.05


class Facts:
    """The events so far, in the order in which the stream gives them."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.all: list[Fact] = []
        self.came: dict[int, float] = {}
        """When each was heard here, by its `seq`: the clock that dates them may be wrong."""

    def of(self, job: JobId) -> list[JobChanged]:
        return [fact for fact in self.all if isinstance(fact, JobChanged) and fact.job == job]

    def is_final(self, job: JobId) -> bool:
        changes = self.of(job)
        return bool(changes) and changes[-1].state.is_final

    async def workers(self) -> list[WorkerView]:
        """Those registered now; none where nobody answers."""
        with suppress(BusError):
            answer = await self.bus.ask(contract.WORKERS, ListWorkers(), within=ASK_WITHIN)
            return [*answer.workers]
        return []

    async def status(self) -> Status:
        """The first answer, however long it takes."""
        while True:
            with suppress(BusError):
                return await self.bus.ask(contract.STATUS, AskStatus(), within=ASK_WITHIN)
            await asyncio.sleep(ASK_AGAIN)

    async def answered_within(self) -> float:
        """Seconds until somebody answers."""
        begin = time.monotonic()
        await self.status()
        return time.monotonic() - begin


@asynccontextmanager
async def following(state: Path) -> AsyncGenerator[Facts, None]:
    async with operator(state) as bus, asyncio.TaskGroup() as tasks:
        facts = Facts(bus)

        async def read() -> None:
            follow = NatsJournal(bus).follow(subject=contract.EVENTS, after=0)
            async with aclosing(follow) as bodies:
                async for subject, body in bodies:
                    fact = decode(subject, body)
                    assert fact is not None, (subject, body)
                    facts.all.append(fact)
                    facts.came[fact.seq] = time.time()

        reader = tasks.create_task(read())
        try:
            yield facts
        finally:
            reader.cancel()
