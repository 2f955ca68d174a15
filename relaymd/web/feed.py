"""`/api/v1/events`: the stream of events as server-sent events, resumable where it broke off."""

import asyncio
from contextlib import aclosing

import msgspec
from aiohttp import web

from relaymd.bus import contract
from relaymd.bus.bus import BusError, Journal
from relaymd.core.strict import decode_json
from relaymd.web.api import whole_number
from relaymd.web.problems import NAMES, Problem, ProblemError, invalid

HEARTBEAT = 15.0
"""Seconds of silence after which a comment shows that the line is still there."""

MOST = 64
"""Readers at a time; each costs a consumer on the server."""


class Numbered(msgspec.Struct, frozen=True):
    """The part of every fact that resuming needs."""

    seq: int


class Feed:
    def __init__(self, journal: Journal, *, heartbeat: float = HEARTBEAT) -> None:
        self._journal = journal
        self._heartbeat = heartbeat
        self._readers = 0

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/api/v1/events", self.events)]

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Facts after `Last-Event-ID` or `after`, and then those that come."""
        after = _resume_at(request)
        if self._readers >= MOST:
            raise ProblemError(
                503, Problem(error=NAMES[503], message=f"{MOST} readers are connected already")
            )
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        self._readers += 1
        try:
            await response.prepare(request)
            await response.write(b"retry: 1000\n\n")
            await self._pump(response, after)
        except* (BusError, ConnectionResetError):
            pass  # the line ends here; a browser resumes with the last id it saw
        finally:
            self._readers -= 1
        return response

    async def _pump(self, response: web.StreamResponse, after: int) -> None:
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(256)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read(after, queue))
            while True:
                try:
                    async with asyncio.timeout(self._heartbeat):
                        chunk = await queue.get()
                except TimeoutError:
                    chunk = b": still here\n\n"
                if chunk is None:
                    return
                await response.write(chunk)

    async def _read(self, after: int, queue: asyncio.Queue[bytes | None]) -> None:
        follow = self._journal.follow(subject=contract.EVENTS, after=after)
        async with aclosing(follow) as bodies:
            async for subject, body in bodies:
                if (chunk := _chunk(subject, body)) is not None:
                    await queue.put(chunk)
        await queue.put(None)


def _chunk(subject: str, body: bytes) -> bytes | None:
    """A fact as a server-sent event, its kind's first word as the event's name."""
    try:
        seq = decode_json(body, Numbered).seq
    except msgspec.DecodeError:
        return None
    kind = subject.removeprefix(contract.EVENTS.rstrip(">")).partition(".")[0]
    data = b" ".join(body.splitlines())
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (seq, kind.encode(), data)


def _resume_at(request: web.Request) -> int:
    last = request.headers.get("Last-Event-ID", "")
    if last:
        if not (last.isascii() and last.isdigit() and len(last) < 20):
            raise invalid("Last-Event-ID: it must be a whole number")
        return int(last)
    return whole_number(request, "after", default=0, least=0)
