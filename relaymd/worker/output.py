"""An engine's output: published while it runs, searched for fatal lines, stored in pieces.

The engine appends to two files of its lease's folder. What is published may be lost and is
stored all the same; what is stored begins with this segment.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from re import Pattern

import structlog

from relaymd.bus import contract
from relaymd.bus.bus import BusError
from relaymd.bus.facts import Output, OutputStream
from relaymd.core.supervision import FatalSearch
from relaymd.storage.logs import put_log_piece
from relaymd.storage.store import StorageError
from relaymd.worker import files
from relaymd.worker.held import Held
from relaymd.worker.place import Place
from relaymd.worker.tools import Tools

log = structlog.get_logger()

LINE = 32 * 1024
"""Bytes in one message."""

PIECE = 1024 * 1024
"""Bytes in one object."""

QUIET = 5
"""How many times rarer a silent engine's output is looked at."""

EVIDENCE = 4096
"""Bytes of the last output that go with a failure."""


class Stream:
    """One of the two files, and how far it was read for each purpose."""

    def __init__(self, name: OutputStream, path: Path, fatal: Sequence[Pattern[str]]) -> None:
        self.name = name
        self.path = path
        self.search = FatalSearch(fatal)
        self.published = 0
        self.stored = 0


class Capture:
    def __init__(
        self, tools: Tools, held: Held, place: Place, fatal: Sequence[Pattern[str]] = ()
    ) -> None:
        self._tools = tools
        self._held = held
        self._streams = (
            Stream(OutputStream.STDOUT, place.stdout, fatal),
            Stream(OutputStream.STDERR, place.stderr, fatal),
        )
        self._storing = asyncio.Lock()
        """Two at once would put two pieces under one offset."""

    @property
    def fatal(self) -> str | None:
        """The first line that matched a fatal pattern."""
        return next((s.search.found for s in self._streams if s.search.found), None)

    async def publish_for_ever(self) -> None:
        """Often while there is something, and less often while there is not."""
        every = self._tools.pace.publish_every
        wait = every
        while True:
            wait = every if await self.publish() else min(1.5 * wait, QUIET * every)
            await asyncio.sleep(wait)

    async def store_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._tools.pace.piece_every)
            await self.store_if_possible()

    async def store_if_possible(self) -> None:
        try:
            await self.store()
        except StorageError as exc:
            log.warning("output.not_stored", job=self._held.job, reason=str(exc))

    async def publish(self) -> bool:
        """Send out what is new, and search it; whether there was anything."""
        begun = sum(stream.published for stream in self._streams)
        sizes = await self._tools.offload(files.sizes, *(stream.path for stream in self._streams))
        for stream, size in zip(self._streams, sizes, strict=True):
            if size <= stream.published:
                continue  # several times a second, so it must cost next to nothing
            while data := whole(await self._read(stream, stream.published, LINE)):
                text = data.decode(errors="replace")
                stream.search.feed(text)
                await self._send(stream, text, len(data))
                stream.published += len(data)
        return sum(stream.published for stream in self._streams) > begun

    async def store(self) -> None:
        """Upload what is new. Raises StorageError; what was not stored is tried again."""
        async with self._storing:
            for stream in self._streams:
                while data := await self._read(stream, stream.stored, PIECE):
                    await put_log_piece(
                        self._tools.store,
                        self._held.job,
                        self._held.epoch,
                        stream.name,
                        stream.stored,
                        data,
                    )
                    stream.stored += len(data)

    async def last_lines(self) -> str:
        """The end of both streams, as evidence."""
        found: list[str] = []
        for stream in self._streams:
            data = await self._tools.offload(files.tail, stream.path, EVIDENCE // 2)
            if text := data.decode(errors="replace").strip():
                found.append(f"{stream.name}:\n{text}")
        return "\n".join(found)[-EVIDENCE:]

    async def _read(self, stream: Stream, offset: int, size: int) -> bytes:
        return await self._tools.offload(files.read_part, stream.path, offset, size)

    async def _send(self, stream: Stream, text: str, size: int) -> None:
        message = Output(
            job=self._held.job,
            epoch=self._held.epoch,
            stream=stream.name,
            offset=stream.published,
            text=text,
            size=size,
        )
        with suppress(BusError):  # nobody can listen now; the store has it
            await self._tools.bus.publish(contract.OUTPUT, message)


def whole(data: bytes) -> bytes:
    """Without a UTF-8 sequence that the end cuts; what is no UTF-8 at all stays as it is."""
    for back in range(1, min(4, len(data) + 1)):
        lead = data[-back]
        if lead & 0xC0 == 0x80:
            continue
        length = 4 if lead >= 0xF0 else 3 if lead >= 0xE0 else 2 if lead >= 0xC0 else 1
        return data[:-back] if length > back else data
    return data
