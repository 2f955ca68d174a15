import asyncio

import pytest

from relaymd.bus import contract
from relaymd.bus.broker import Broker
from relaymd.bus.bus import NoAnswerError
from relaymd.bus.memory import MemoryBus
from relaymd.bus.memory_journal import MemoryJournal, matches
from relaymd.bus.stream import number
from tests.bus.actors import until
from tests.bus.facts import Fact, facts


async def test_what_is_appended_again_is_there_once() -> None:
    journal = MemoryJournal()
    assert await journal.append(facts(1, 2)) == 2
    assert await journal.append(facts(1, 2, 3)) == 3
    found = journal.follow(subject=contract.EVENTS, after=1, live=False)
    assert [number(body) async for _, body in found] == [2, 3]


async def test_a_live_reader_hears_its_share_of_what_comes() -> None:
    journal = MemoryJournal()
    heard: list[int] = []

    async def read() -> None:
        async for _, body in journal.follow(subject=contract.JOB_CHANGED.at(job="j1")):
            heard.append(number(body))

    async with asyncio.TaskGroup() as group:
        reading = group.create_task(read())
        await journal.append([Fact.of(1, "j1"), Fact.of(2, "j2")])
        await until(lambda: heard == [1])
        await journal.append([Fact.of(3, "j1")])
        await until(lambda: heard == [1, 3])
        reading.cancel()


async def test_listeners_on_the_bus_hear_what_is_appended() -> None:
    broker = Broker()
    async with MemoryBus(broker).listen(contract.JOB_CHANGED, job="j1") as heard:
        await MemoryJournal(broker).append(facts(1))
        assert (await anext(heard)).seq == 1


async def test_an_unavailable_stream_acknowledges_nothing() -> None:
    journal = MemoryJournal()
    journal.available = False
    with pytest.raises(NoAnswerError):
        await journal.append(facts(1))
    journal.available = True
    assert await journal.append(facts(1)) == 1


@pytest.mark.parametrize(
    ("pattern", "subject", "heard"),
    [
        ("a.>", "a.b", True),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.*.c", "a.b.c", True),
        ("a.b", "a.b", True),
        ("a.b", "a.c", False),
        (">", "a", True),
    ],
)
def test_patterns_match_as_nats_matches_them(pattern: str, subject: str, heard: bool) -> None:
    assert matches(pattern, subject) is heard
