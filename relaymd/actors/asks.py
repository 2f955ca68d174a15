"""The slots that wait for work, each with the answer that is still owed to it."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from relaymd.actors.ledger import Ledger
from relaymd.actors.presence import Presence
from relaymd.bus.messages import NoWork, WorkAnswer
from relaymd.core.ids import InstanceId, Monotonic, WorkerId
from relaymd.core.job import Job
from relaymd.core.resources import Seat


@dataclass(frozen=True, eq=False)
class Ask:
    """One request for work."""

    seat: Seat
    instance: InstanceId
    since: Monotonic
    answer: asyncio.Future[WorkAnswer]
    timer: asyncio.TimerHandle

    def nothing(self, *, leave: bool = False) -> None:
        self.reply(WorkAnswer(work=NoWork(leave=leave)))

    def reply(self, answer: WorkAnswer) -> None:
        self.timer.cancel()
        if not self.answer.done():
            self.answer.set_result(answer)

    def refuse(self, error: BaseException) -> None:
        self.timer.cancel()
        if not self.answer.done():
            self.answer.set_exception(error)


class Asks:
    """At most one a slot: a newer one takes the place of an older."""

    def __init__(self, ledger: Ledger, presence: Presence) -> None:
        self._ledger = ledger
        self._presence = presence
        self._open: dict[WorkerId, dict[int, Ask]] = {}

    def __iter__(self) -> Iterator[Ask]:
        return iter([ask for asks in self._open.values() for ask in asks.values()])

    def clear(self) -> None:
        """Forget them all; who asked will ask again."""
        for ask in self:
            self.remove(ask)
            ask.nothing()

    def put(self, seat: Seat, instance: InstanceId, wait: float) -> Ask:
        """Note that a slot is idle, until it gets work or `wait` seconds are over."""
        loop = asyncio.get_running_loop()
        asks = self._open.setdefault(seat.worker, {})
        if (older := asks.pop(seat.slot, None)) is not None:
            older.nothing()
        answer: asyncio.Future[WorkAnswer] = loop.create_future()
        timer = loop.call_later(wait, self._end, seat, answer)
        ask = Ask(seat, instance, self._presence.clock(), answer, timer)
        asks[seat.slot] = ask
        return ask

    def take(self, seat: Seat) -> Ask:
        asks = self._open[seat.worker]
        ask = asks.pop(seat.slot)
        if not asks:
            del self._open[seat.worker]
        return ask

    def remove(self, ask: Ask) -> None:
        if self._of(ask.seat) is ask:
            self.take(ask.seat)

    def slots(self, worker: WorkerId) -> tuple[int, ...]:
        """The worker's slots whose question is open."""
        return tuple(self._open.get(worker, ()))

    def idle(self) -> list[Seat]:
        """Seats that may get a job: they asked, hold no lease, their worker is there and fit."""
        return [
            ask.seat
            for asks in self._open.values()
            for ask in asks.values()
            if not self._presence.is_disconnected(ask.seat.worker)
            and not self._is_quarantined(ask.seat.worker)
            and lease_of(self._ledger, ask.seat) is None
        ]

    def _is_quarantined(self, worker: WorkerId) -> bool:
        known = self._ledger.workers.get(worker)
        return known is not None and self._ledger.quarantine(known) is not None

    def _of(self, seat: Seat) -> Ask | None:
        return self._open.get(seat.worker, {}).get(seat.slot)

    def _end(self, seat: Seat, answer: asyncio.Future[WorkAnswer]) -> None:
        ask = self._of(seat)
        if ask is not None and ask.answer is answer:
            self.take(seat)
            ask.nothing()


def lease_of(ledger: Ledger, seat: Seat) -> Job | None:
    """The job whose live lease is this seat's."""
    for job in ledger.held_by(seat.worker).values():
        if job.lease is not None and seat.slot in job.lease.slots:
            return job
    return None
