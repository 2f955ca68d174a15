"""The stream of events inside one process: what a JetStream server does for the real one."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from relaymd.bus.broker import Broker
from relaymd.bus.bus import NoAnswerError, Record
from relaymd.bus.stream import number


class MemoryJournal:
    """A Journal that keeps everything, as a server's disk does, for all who share it."""

    def __init__(self, broker: Broker | None = None) -> None:
        """broker: whose listeners hear what is appended, as those of the real one do."""
        self._broker = broker
        self.stored: list[tuple[str, bytes]] = []
        self._last = 0
        self._grown = asyncio.Event()
        self.available = True
        """False: as if the server were away. Appending fails, followers wait."""

    async def append(self, records: Sequence[Record]) -> int:
        if not self.available:
            raise NoAnswerError("the stream of events does not acknowledge")
        for record in records:
            if record.seq > self._last:
                self._last = record.seq
                self.stored.append((record.subject, record.body))
                if self._broker:
                    self._broker.publish("", record.subject, record.body)
        self._grown.set()
        self._grown = asyncio.Event()
        return records[-1].seq if records else 0

    async def follow(
        self, *, subject: str, after: int = 0, live: bool = True
    ) -> AsyncGenerator[tuple[str, bytes]]:
        if not live and not self.available:
            raise NoAnswerError("the stream of events cannot be read")
        position = 0
        while True:
            grown = self._grown
            while self.available and position < len(self.stored):
                found, body = self.stored[position]
                position += 1
                if number(body) > after and matches(subject, found):
                    yield found, body
            if not live:
                return
            await grown.wait()


def matches(pattern: str, subject: str) -> bool:
    """Whether a subscriber to the pattern, with `*` and a last `>`, hears the subject."""
    wanted, given = pattern.split("."), subject.split(".")
    if wanted[-1] == ">" and len(given) >= len(wanted):
        wanted, given = wanted[:-1], given[: len(wanted) - 1]
    return len(wanted) == len(given) and all(
        want in ("*", token) for want, token in zip(wanted, given, strict=True)
    )
