import asyncio
from contextlib import aclosing
from functools import partial
from operator import eq

import pytest

from relaymd.bus import contract
from relaymd.bus.bus import Journal, NoAnswerError
from relaymd.bus.journal import NatsJournal
from relaymd.bus.stream import number
from relaymd.connection import Role
from tests.bus.actors import until
from tests.bus.facts import Fact, facts
from tests.servers import NatsServer


async def read(journal: Journal, heard: list[int], after: int = 0, subject: str = "") -> None:
    async for _, body in journal.follow(subject=subject or contract.EVENTS, after=after):
        heard.append(number(body))


async def all_of(journal: Journal, after: int = 0, subject: str = contract.EVENTS) -> list[int]:
    found = journal.follow(subject=subject, after=after, live=False)
    return [number(body) async for _, body in found]


async def test_a_reader_begins_behind_any_event(nats_server: NatsServer) -> None:
    async with (
        nats_server.connect(Role.ORCHESTRATOR) as orchestrator,
        nats_server.connect(Role.OPERATOR) as operator,
    ):
        writer, reader = NatsJournal(orchestrator), NatsJournal(operator)
        await writer.prepare()
        begin = max(await all_of(reader), default=0)
        end = begin + 700
        await writer.append(facts(*range(begin + 1, end + 1)))
        assert await all_of(reader, after=begin) == [*range(begin + 1, end + 1)]
        for after in (begin + 1, end - 1, end - 400, end):
            assert await all_of(reader, after=after) == [*range(after + 1, end + 1)]
        assert await all_of(reader, after=end + 100) == []


async def test_a_reader_of_one_job_gets_that_jobs_events(own_server: NatsServer) -> None:
    async with own_server.connect(Role.ORCHESTRATOR) as bus:
        journal = NatsJournal(bus)
        await journal.append([Fact.of(seq, job=f"j{seq % 3}") for seq in range(1, 31)])
        subject = contract.JOB_CHANGED.at(job="j1")
        assert await all_of(journal, after=10, subject=subject) == [13, 16, 19, 22, 25, 28]
        assert await all_of(journal, subject=contract.JOB_CHANGED.at(job="j9")) == []


async def test_no_stream_is_an_empty_one(own_server: NatsServer) -> None:
    async with own_server.connect(Role.OPERATOR) as bus:
        assert await all_of(NatsJournal(bus)) == []


async def test_a_live_reader_waits_for_a_stream_and_hears_what_comes(
    own_server: NatsServer,
) -> None:
    heard: list[int] = []
    async with (
        own_server.connect(Role.ORCHESTRATOR) as orchestrator,
        own_server.connect(Role.OPERATOR) as operator,
        asyncio.TaskGroup() as group,
    ):
        reading = group.create_task(read(NatsJournal(operator), heard))
        journal = NatsJournal(orchestrator)
        await journal.append(facts(1, 2, 3))
        await until(lambda: heard == [1, 2, 3])
        await journal.append(facts(*range(4, 600)))
        await until(lambda: heard == [*range(1, 600)])
        reading.cancel()


async def test_a_killed_server_makes_neither_gap_nor_repetition(own_server: NatsServer) -> None:
    heard: list[int] = []
    async with (
        own_server.connect(Role.ORCHESTRATOR) as orchestrator,
        own_server.connect(Role.OPERATOR) as operator,
        asyncio.TaskGroup() as group,
    ):
        journal = NatsJournal(orchestrator)
        await journal.append(facts(*range(1, 11)))
        reading = group.create_task(read(NatsJournal(operator), heard, after=4))
        for end in (30, 50):
            await until(lambda: heard)
            own_server.kill()
            await until(lambda: not orchestrator.connected and not operator.connected)
            own_server.start()
            await until(lambda: orchestrator.connected)
            await journal.append(facts(*range(end - 20, end + 1)))
            await until(partial(eq, heard, [*range(5, end + 1)]))
        reading.cancel()


async def test_an_idle_reader_stays(own_server: NatsServer) -> None:
    """Signs of life come from the server while there are no events."""
    heard: list[int] = []
    async with own_server.connect(Role.ORCHESTRATOR) as bus, asyncio.TaskGroup() as group:
        journal = NatsJournal(bus)
        await journal.append(facts(1))
        reading = group.create_task(read(journal, heard))
        await until(lambda: heard == [1])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5):
                await reading
        assert reading.cancelled()


async def test_a_reader_that_wants_what_is_there_is_told_when_it_cannot_be_read(
    own_server: NatsServer,
) -> None:
    async with own_server.connect(Role.OPERATOR) as bus:
        own_server.kill()
        await until(lambda: not bus.connected)
        with pytest.raises(NoAnswerError):
            await all_of(NatsJournal(bus))


async def test_a_reader_that_leaves_early_leaves_nothing_behind(own_server: NatsServer) -> None:
    async with own_server.connect(Role.ORCHESTRATOR) as bus:
        journal = NatsJournal(bus)
        await journal.append(facts(1, 2, 3))
        async with aclosing(journal.follow(subject=contract.EVENTS)) as events:
            async for _, body in events:
                assert number(body) == 1
                break
        assert await all_of(journal) == [1, 2, 3]
