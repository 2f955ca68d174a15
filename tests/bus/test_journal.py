import asyncio
import itertools
import shutil
from functools import partial

import pytest

from relaymd.bus import contract
from relaymd.bus.bus import Journal, NoAnswerError
from relaymd.bus.journal import NatsJournal
from relaymd.bus.remote import NatsBus
from relaymd.bus.stream import Limits, number
from relaymd.connection import Role
from tests.bus.actors import until
from tests.bus.facts import Fact, facts
from tests.servers import NatsServer


async def stored(journal: Journal) -> list[int]:
    read = journal.follow(subject=contract.EVENTS, live=False)
    return [number(body) async for _, body in read]


async def test_what_is_appended_is_there_once_and_in_order(own_server: NatsServer) -> None:
    async with own_server.connect(Role.ORCHESTRATOR) as bus:
        journal = NatsJournal(bus)
        assert await journal.append(facts(1, 2, 3)) == 3
        assert await journal.append(facts(4)) == 4
        assert await stored(journal) == [1, 2, 3, 4]


async def test_appending_again_adds_nothing(own_server: NatsServer) -> None:
    async with own_server.connect(Role.ORCHESTRATOR) as bus:
        await NatsJournal(bus).append(facts(1, 2, 3))
        journal = NatsJournal(bus)
        assert await journal.append(facts(2, 3)) == 3
        assert await journal.append(facts(2, 3, 4)) == 4
        assert await stored(journal) == [1, 2, 3, 4]


async def test_nothing_to_append_asks_nobody(own_server: NatsServer) -> None:
    async with own_server.connect(Role.ORCHESTRATOR) as bus:
        own_server.kill()
        assert await NatsJournal(bus).append([]) == 0


async def test_many_go_in_one_append(own_server: NatsServer) -> None:
    async with own_server.connect(Role.ORCHESTRATOR) as bus:
        assert await NatsJournal(bus).append(facts(*range(1, 1001))) == 1000
        assert await stored(NatsJournal(bus)) == [*range(1, 1001)]


async def test_two_who_append_the_same_do_not_double_it(own_server: NatsServer) -> None:
    """An orchestrator that was taken for dead is still there when its successor begins."""
    async with own_server.connect(Role.ORCHESTRATOR) as bus:
        journals = [NatsJournal(bus), NatsJournal(bus)]
        await journals[0].prepare()
        batches = [facts(*range(first, first + 20)) for first in range(1, 200, 20)]
        for batch in batches:
            await asyncio.gather(
                *(journal.append(batch) for journal in journals), return_exceptions=True
            )
        await journals[0].append(batches[-1])
        assert await stored(journals[0]) == [*range(1, 201)]


async def test_a_killed_server_loses_and_doubles_nothing(own_server: NatsServer) -> None:
    async with own_server.connect(Role.ORCHESTRATOR) as bus, asyncio.TaskGroup() as group:
        acknowledged: list[int] = []
        appending = group.create_task(_append_all(bus, 300, acknowledged))
        for kills in range(1, 4):
            await until(partial(_longer, acknowledged, kills * 60))
            own_server.kill()
            await until(lambda: not bus.connected)
            own_server.start()
        await appending
        assert await stored(NatsJournal(bus)) == [*range(1, 301)]


def _longer(found: list[int], length: int) -> bool:
    return len(found) >= length


async def _append_all(bus: NatsBus, count: int, acknowledged: list[int]) -> None:
    """As the outbox does: again from the last that is certain."""
    journal = NatsJournal(bus)
    done = 0
    while done < count:
        batch = facts(*itertools.islice(range(done + 1, count + 1), 3))
        try:
            async with asyncio.timeout(1):
                done = await journal.append(batch)
            acknowledged.append(done)
            acknowledged.extend([done] * (len(batch) - 1))
        except (NoAnswerError, TimeoutError):
            await asyncio.sleep(0.01)


async def test_an_append_that_was_cancelled_halfway_is_completed(own_server: NatsServer) -> None:
    async with own_server.connect(Role.ORCHESTRATOR) as bus:
        journal = NatsJournal(bus)
        await journal.append(facts(1))
        async with asyncio.TaskGroup() as group:
            appending = group.create_task(journal.append(facts(*range(2, 100))))
            await asyncio.sleep(0)
            appending.cancel()
        assert await journal.append(facts(*range(2, 101))) == 100
        assert await stored(journal) == [*range(1, 101)]


async def test_the_end_of_the_duplicate_window_and_a_restart_change_nothing(
    own_server: NatsServer,
) -> None:
    limits = Limits(duplicate_window=0.1)
    async with own_server.connect(Role.ORCHESTRATOR) as bus:
        journal = NatsJournal(bus, limits)
        await journal.append(facts(1, 2))
        await asyncio.sleep(0.15)
        own_server.kill()
        await until(lambda: not bus.connected)
        own_server.start()
        await until(lambda: bus.connected)
        assert await NatsJournal(bus, limits).append(facts(1, 2, 3)) == 3
        assert await journal.append(facts(2, 3, 4)) == 4
        assert await stored(journal) == [1, 2, 3, 4]


async def test_a_stream_whose_events_all_expired_goes_on_where_the_caller_is(
    own_server: NatsServer,
) -> None:
    async with own_server.connect(Role.ORCHESTRATOR) as bus:
        await NatsJournal(bus, Limits(max_age=0.1)).append(facts(1, 2, 3))
        journal = NatsJournal(bus)
        async with asyncio.timeout(10):
            while await stored(journal):  # noqa: ASYNC110  # the server does not announce it
                await asyncio.sleep(0.05)
        await journal.prepare()
        assert await journal.append(facts(4, 5)) == 5
        assert await NatsJournal(bus).append(facts(5, 6)) == 6
        assert await stored(journal) == [4, 5, 6]


async def test_a_stream_that_was_lost_is_made_anew(own_server: NatsServer) -> None:
    async with own_server.connect(Role.ORCHESTRATOR) as bus:
        journal = NatsJournal(bus)
        await journal.append(facts(1, 2, 3))
        own_server.kill()
        await until(lambda: not bus.connected)
        shutil.rmtree(own_server.settings.folder / "jetstream")
        own_server.start()
        await until(lambda: bus.connected)
        assert await journal.append(facts(4, 5)) == 5
        assert await stored(journal) == [4, 5]


async def test_a_stream_that_is_there_gets_the_limits_of_now(own_server: NatsServer) -> None:
    async with own_server.connect(Role.ORCHESTRATOR) as bus:
        await NatsJournal(bus).append(facts(1))
        journal = NatsJournal(bus, Limits(max_age=3600.0, max_bytes=1 << 20))
        await journal.prepare()
        await journal.prepare()
        assert await stored(journal) == [1]


async def test_no_server_is_no_answer(own_server: NatsServer) -> None:
    async with own_server.connect(Role.ORCHESTRATOR) as bus:
        journal = NatsJournal(bus)
        await journal.append(facts(1))
        own_server.kill()
        await until(lambda: not bus.connected)
        with pytest.raises(NoAnswerError):
            await journal.append([Fact.of(2)])
