"""Many simulated workers in one process: NATS's own lines over bare sockets.

A client library would make the asking as dear as the answering, and the figure would be of the
library. Each worker has a connection of its own, named as a worker's is, asks one question at a
time, and answers the orchestrator's pings.
"""

import asyncio
import itertools
import json
import secrets
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import msgspec

from relaymd.bus import contract
from relaymd.bus import messages as m
from relaymd.bus.subjects import Req, Request
from relaymd.connection import Role
from relaymd.core.ids import InstanceId, WorkerId

A = TypeVar("A")
T = TypeVar("T", bound=msgspec.Struct)

AT_ONCE = 200
"""Connections that are opened at the same time."""

DIALS = 5
"""Times a connection is tried: a server that is busy cuts those that say nothing for 2 s."""

encode = msgspec.json.encode


class BrokenLineError(Exception):
    """The connection is gone, or the server or the orchestrator said no."""


class Line(asyncio.Protocol):
    """One connection. It does not come back by itself."""

    def __init__(self, role: Role, password: str, name: str) -> None:
        self.name = name
        self.role = role
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._password = password
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._inbox = f"_INBOX.{role}.{secrets.token_hex(8)}."
        self._numbers = itertools.count()
        self._open: dict[str, asyncio.Future[bytes]] = {}
        self._served: dict[str, Callable[[], bytes]] = {}
        self._rest = b""
        self._out: asyncio.Transport | None = None

    async def ready(self) -> None:
        await self._ready

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._out = cast(asyncio.Transport, transport)
        hello = {
            "user": str(self.role),
            "pass": self._password,
            "name": self.name,
            "verbose": False,
            "headers": True,
            "no_responders": True,
        }
        self.send(f"CONNECT {json.dumps(hello)}\r\nSUB {self._inbox}* 1\r\nPING\r\n".encode())

    def connection_lost(self, exc: Exception | None) -> None:
        error = BrokenLineError(f"{self.name}: the connection is lost")
        if not self._ready.done():
            self._ready.set_exception(error)
        for future in self._open.values():
            if not future.done():
                future.set_exception(error)
                future.exception()  # whoever gave up waiting need not hear of it
        self._open.clear()
        if not self.closed.done():
            self.closed.set_result(None)

    def send(self, data: bytes) -> None:
        if self._out is None or self._out.is_closing():
            raise BrokenLineError(f"{self.name}: not connected")
        self._out.write(data)

    def close(self) -> None:
        """As the kernel does when a process is killed."""
        if self._out is not None:
            self._out.abort()

    def mute(self) -> None:
        if self._out is not None:
            self._out.pause_reading()

    def serve(self, subject: str, answer: Callable[[], bytes]) -> None:
        self._served[subject] = answer
        self.send(f"SUB {subject} {len(self._served) + 1}\r\n".encode())

    def ask(self, subject: str, body: bytes) -> asyncio.Future[bytes]:
        """The answer's body. Raises BrokenLineError where nobody answers, or it is refused."""
        inbox = f"{self._inbox}{next(self._numbers)}"
        future = self._open[inbox] = asyncio.get_running_loop().create_future()
        self.send(b"PUB %b %b %d\r\n%b\r\n" % (subject.encode(), inbox.encode(), len(body), body))
        return future

    async def say(self, request: Request[Req, T], message: Req) -> T:
        body = await self.ask(request.of(message), encode(message))
        return msgspec.json.decode(body, type=request.answers)

    def data_received(self, data: bytes) -> None:
        data, place = self._rest + data, 0
        while (end := data.find(b"\r\n", place)) >= 0:
            words = data[place:end].split()
            verb = words[0] if words else b""
            if verb in (b"MSG", b"HMSG"):
                start, size = end + 2, int(words[-1])
                if len(data) < start + size + 2:
                    break
                self._arrived(verb, words, data[start : start + size])
                end = start + size
            else:
                self._told(verb, words)
            place = end + 2
        self._rest = data[place:]

    def _told(self, verb: bytes, words: Sequence[bytes]) -> None:
        if verb == b"PING":
            self.send(b"PONG\r\n")
        elif verb == b"PONG" and not self._ready.done():
            self._ready.set_result(None)
        elif verb == b"-ERR":
            self.connection_lost(BrokenLineError(b" ".join(words).decode()))

    def _arrived(self, verb: bytes, words: Sequence[bytes], body: bytes) -> None:
        subject = words[1].decode()
        if (answer := self._served.get(subject)) is not None and verb == b"MSG":
            reply, said = words[3], answer()
            self.send(b"PUB %b %d\r\n%b\r\n" % (reply, len(said), said))
            return
        future = self._open.pop(subject, None)
        if future is None or future.done():
            return
        if verb == b"HMSG":  # only errors have headers
            future.set_exception(BrokenLineError(f"{self.name}: {body.decode(errors='replace')}"))
        else:
            future.set_result(body)


async def dial(url: str, role: Role, password: str, name: str) -> Line:
    place = urlsplit(url)
    loop = asyncio.get_running_loop()
    _, line = await loop.create_connection(
        lambda: Line(role, password, name), place.hostname or "", place.port or 4222
    )
    await line.ready()
    return line


class SimulatedWorker:
    """Says what a worker says, and does nothing."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.id = WorkerId(line.name)
        self.instance = InstanceId("i-" + line.name)
        pong = encode(m.Pong(instance=self.instance))
        line.serve(f"relaymd.control.{self.id}.ping", lambda: pong)
        self.hold()

    async def register(self, slots: int = 1) -> None:
        message = m.Register(worker=self.id, instance=self.instance, slots=slots)
        await self.line.say(contract.REGISTER, message)

    def hold(self, *held: m.Assignment) -> None:
        """From now on the heartbeats list these."""
        leases = tuple(m.HeldLease(job=work.job, epoch=work.epoch) for work in held)
        beat = m.Heartbeat(worker=self.id, instance=self.instance, leases=leases)
        self._beat = (contract.HEARTBEAT.of(beat), encode(beat))

    def beat(self) -> asyncio.Future[bytes]:
        return self.line.ask(*self._beat)

    def mute(self) -> None:
        """From now on it answers nothing, not even the server, and keeps its connection."""
        self.line.mute()

    async def beat_heard(self) -> m.HeartbeatAck:
        """The answer, read."""
        return msgspec.json.decode(await self.beat(), type=m.HeartbeatAck)

    def ask_for_work(self, slot: int, wait: float) -> asyncio.Future[bytes]:
        """A question that stays open beside others; an encoded WorkAnswer answers it."""
        ask = m.AskForWork(worker=self.id, instance=self.instance, slot=slot, wait=wait)
        return self.line.ask(contract.WORK.of(ask), encode(ask))

    async def work(self, wait: float, slot: int = 0) -> m.Assignment | None:
        ask = m.AskForWork(worker=self.id, instance=self.instance, slot=slot, wait=wait)
        found = (await self.line.say(contract.WORK, ask)).work
        return found if isinstance(found, m.Assignment) else None

    async def start(self, work: m.Assignment) -> m.Standing:
        message = m.Start(worker=self.id, job=work.job, epoch=work.epoch)
        return (await self.line.say(contract.START, message)).standing

    async def complete(self, work: m.Assignment) -> m.Standing:
        message = m.Complete(worker=self.id, job=work.job, epoch=work.epoch)
        return (await self.line.say(contract.COMPLETE, message)).standing

    async def leave(self) -> None:
        message = m.Leave(worker=self.id, instance=self.instance, reason="the benchmark is over")
        await self.line.say(contract.LEAVE, message)


@asynccontextmanager
async def crowd(
    url: str, password: str, names: Sequence[str]
) -> AsyncGenerator[list[SimulatedWorker]]:
    """So many workers, connected and not yet registered."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> SimulatedWorker:
        async with limit:
            for _ in range(DIALS):
                with suppress(BrokenLineError):
                    return SimulatedWorker(await dial(url, Role.WORKER, password, name))
        raise BrokenLineError(f"{name}: the server took none of {DIALS} connections")

    workers = await together(one(name) for name in names)
    try:
        yield workers
    finally:
        for worker in workers:
            worker.line.close()


async def together(works: Iterable[Coroutine[Any, Any, A]]) -> list[A]:
    """The results of all of them, at the same time."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in works]
    return [task.result() for task in tasks]
