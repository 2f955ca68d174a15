"""The stream of events: appended to exactly once and in order, whoever dies when.

A record's place is fixed by the stream's last position, which each publication expects to
find. One that was sent by a process that is dead, or before its forerunner was lost, finds
another and is refused, and then the stream itself is asked what it has. The expectation is
of positions and not of message ids, because a server forgets the last message's id when it
starts again after the window in which it looks for duplicates.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple, Protocol

from relaymd.bus.bus import NoAnswerError, NoResponderError, Record
from relaymd.bus.follow import follow
from relaymd.bus.stream import (
    STREAM,
    WITHIN,
    WRONG_LAST_SEQUENCE,
    Limits,
    Stored,
    StreamApi,
    number,
    read,
)
from relaymd.bus.wire import Wire

IN_FLIGHT = 256
"""Records sent before the first is acknowledged."""

ATTEMPTS = 4
"""How often an append looks at the stream anew before it leaves the rest to its caller."""


class Tail(NamedTuple):
    position: int
    """Of the last message ever stored, also when it has left."""

    seq: int
    """The ledger's number of the last event; 0 where the stream has none to look at."""


class Wired(Protocol):
    """A bus with a wire: NatsBus is one."""

    @property
    def wire(self) -> Wire: ...


class NatsJournal:
    """A Journal in JetStream. One at a time may append; any number follow."""

    def __init__(self, bus: Wired, limits: Limits | None = None) -> None:
        """limits: for whoever creates the stream; None: the defaults."""
        self._wire = bus.wire
        self._api = StreamApi(bus.wire)
        self._limits = limits or Limits()
        self._tail: Tail | None = None

    async def prepare(self) -> None:
        """Create the stream, or adapt its limits. Raises NoAnswerError."""
        await self._api.ensure(self._limits)

    async def append(self, records: Sequence[Record]) -> int:
        if not records:
            return 0
        fruitless, last = 0, records[-1].seq
        while fruitless < ATTEMPTS:
            tail = self._tail or await self._look()
            if tail.seq >= last:
                self._tail = tail
                return last
            self._tail = None  # unknown, until all that is sent now is acknowledged
            missing = [record for record in records if record.seq > tail.seq]
            self._tail = await self._send(tail, missing[:IN_FLIGHT])
            fruitless = fruitless + 1 if self._tail is None else 0
        raise NoAnswerError("somebody else writes to the stream of events")

    def follow(
        self, *, subject: str, after: int = 0, live: bool = True
    ) -> AsyncGenerator[tuple[str, bytes]]:
        return follow(self._wire, subject=subject, after=after, live=live)

    async def _look(self) -> Tail:
        info = await self._api.info() or await self._api.ensure(self._limits)
        last = await self._api.message_from(info.state.last_seq) if info.state.messages else None
        return Tail(info.state.last_seq, number(last.data) if last else 0)

    async def _send(self, tail: Tail, records: Sequence[Record]) -> Tail | None:
        """Send all at once, each for its place. None: the places were others."""
        waiting = [
            await self._wire.post(
                record.subject, record.body, _headers(record.seq, tail.position + place)
            )
            for place, record in enumerate(records)
        ]
        try:
            async with asyncio.timeout(WITHIN):
                acks = [read(await answer, Stored) for answer in waiting]
        except NoResponderError:  # somebody removed the stream
            return None
        except TimeoutError as error:
            raise NoAnswerError("the stream of events does not acknowledge") from error
        finally:
            for answer in waiting:
                answer.cancel()
        for ack in acks:
            if ack.error and ack.error.err_code != WRONG_LAST_SEQUENCE:
                raise NoAnswerError(f"the stream of events: {ack.error.description}")
        if any(ack.error or ack.duplicate for ack in acks):
            return None
        return Tail(tail.position + len(records), records[-1].seq)


def _headers(seq: int, position: int) -> dict[str, str]:
    return {
        "Nats-Msg-Id": str(seq),
        "Nats-Expected-Stream": STREAM,
        "Nats-Expected-Last-Sequence": str(position),
    }
