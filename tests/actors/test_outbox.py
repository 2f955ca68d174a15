"""Every event is published once and in order, whoever dies when."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import msgspec

from relaymd.bus.bus import NoAnswerError, Record
from relaymd.bus.memory_journal import MemoryJournal
from tests.actors.office import Office, Parts, opened, turns, until


class Gate:
    """A Journal before another, which loses answers and breaks off in the middle."""

    def __init__(self, inner: MemoryJournal) -> None:
        self._inner = inner
        self.plan: list[str] = []
        self.appends = 0

    async def append(self, records: Sequence[Record]) -> int:
        self.appends += 1
        match self.plan.pop(0) if self.plan else "":
            case "away":
                raise NoAnswerError("the stream of events does not acknowledge")
            case "answer lost":
                await self._inner.append(records)
                raise NoAnswerError("the stream of events does not acknowledge")
            case "half":
                return await self._inner.append(records[: max(len(records) // 2, 1)])
            case "nothing":
                return records[0].seq - 1
            case "defect":
                raise ZeroDivisionError("a defect of ours")
            case _:
                return await self._inner.append(records)

    def follow(
        self, *, subject: str, after: int = 0, live: bool = True
    ) -> AsyncGenerator[tuple[str, bytes]]:
        return self._inner.follow(subject=subject, after=after, live=live)


def published(journal: MemoryJournal) -> list[int]:
    return [msgspec.json.decode(body)["seq"] for _, body in journal.stored]


async def submits(office: Office, first: int, count: int) -> None:
    async with asyncio.TaskGroup() as group:
        for n in range(first, first + count):
            group.create_task(office.operator.submit(f"j{n}"))


async def test_what_is_recorded_is_published_as_it_stands_in_the_ledger(tmp_path: Path) -> None:
    journal = MemoryJournal()
    async with opened(tmp_path / "db", Parts(journal=journal)) as office:
        await submits(office, 0, 5)
        await until(lambda: office.ledger.unpublished == 0)
        rows = await office.ledger.archive.events_after(0, limit=100)

    assert journal.stored == [(row.subject, row.body) for row in rows]


async def test_each_event_once_and_in_order_across_every_failure_of_the_stream(
    tmp_path: Path,
) -> None:
    stored = MemoryJournal()
    journal = Gate(stored)
    async with opened(tmp_path / "db", Parts(journal=journal)) as office:
        journal.plan = ["away", "half", "answer lost", "nothing", "defect", "half", "answer lost"]
        for round in range(20):
            await submits(office, round * 3, 3)
            office.tick("outbox")
            await turns()
        while office.ledger.unpublished:
            office.tick("outbox")
            await turns()
            await asyncio.sleep(0.001)

    assert published(stored) == [*range(1, 61)]


async def test_each_event_once_and_in_order_across_restarts(tmp_path: Path) -> None:
    stored = MemoryJournal()
    for life in range(4):
        journal = Gate(stored)
        journal.plan = [["answer lost"], ["away"], ["half"], []][life]
        async with opened(tmp_path / "db", Parts(journal=journal)) as office:
            await submits(office, life * 10, 10)
            await turns()

    async with opened(tmp_path / "db", Parts(journal=stored)) as office:
        await until(lambda: office.ledger.unpublished == 0)
    assert published(stored) == [*range(1, 41)]


async def test_a_stream_that_is_away_holds_up_nothing_else(tmp_path: Path) -> None:
    journal = MemoryJournal()
    journal.available = False
    async with opened(tmp_path / "db", Parts(journal=journal)) as office:
        worker = office.worker()
        await worker.register()
        await office.operator.submit()
        await worker.complete(await worker.begin())
        assert (await office.operator.status()).unpublished_events == 5
        journal.available = True
        office.tick("outbox")
        await until(lambda: office.ledger.unpublished == 0)

    assert published(journal) == [1, 2, 3, 4, 5]


async def test_nothing_is_published_before_it_is_on_disk(tmp_path: Path) -> None:
    journal = MemoryJournal()
    async with opened(tmp_path / "db", Parts(journal=journal)) as office:
        await submits(office, 0, 1)
        await until(lambda: published(journal) == [1])
        assert len(await office.ledger.archive.events_after(0, limit=10)) == 1


async def test_an_outbox_with_nothing_to_say_asks_the_stream_nothing(tmp_path: Path) -> None:
    journal = Gate(MemoryJournal())
    async with opened(tmp_path / "db", Parts(journal=journal)) as office:
        for _ in range(5):
            office.tick("outbox")
            await turns()

    assert journal.appends == 0
