"""The bus between processes: conversations of the contract over a wire."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import TypeVar

import structlog

from relaymd.bus import advisories, micro
from relaymd.bus.advisories import Disconnection
from relaymd.bus.bus import Inbox, NoAnswerError, RefusedError
from relaymd.bus.codec import Reply, encode, read_answer, read_event, subject_of, write_refusal
from relaymd.bus.delivery import Call
from relaymd.bus.messages import Refusal, RefusalCode
from relaymd.bus.subjects import Binding, Event, Msg, Rep, Req, Request
from relaymd.bus.tally import Tally
from relaymd.bus.wire import Frame, Wire
from relaymd.core.ids import UnixTime
from relaymd.version import version

T = TypeVar("T")

log = structlog.get_logger()

INBOX_SIZE = 10_000
"""Requests that may wait for an actor's turn; beyond it they wait in the connection."""

LISTEN_SIZE = 10_000
"""Publications that may wait for a listener; beyond it the oldest are lost, as they may be."""


class NatsBus:
    """A Bus on a connection whose lifetime belongs to the caller."""

    def __init__(self, wire: Wire, clock: Callable[[], float] = time.time) -> None:
        self.wire = wire
        """For what the stream of events needs; conversations go through the methods."""

        self._clock = clock

    @property
    def connected(self) -> bool:
        """Whether the server can be reached just now."""
        return self.wire.connected

    async def ask(
        self, request: Request[Req, Rep], message: Req, *, within: float | None = None
    ) -> Rep:
        subject = subject_of(request, message)
        reply = await self.wire.request(
            subject, encode(message), within=request.within if within is None else within
        )
        return read_answer(request, reply)

    async def publish(self, event: Event[Msg], message: Msg) -> None:
        with suppress(NoAnswerError):  # nobody was promised anything
            await self.wire.publish(subject_of(event, message), encode(message))

    @asynccontextmanager
    async def serve(self, service: str, *bindings: Binding) -> AsyncGenerator[Inbox]:
        inbox = asyncio.Queue[Call](INBOX_SIZE)
        endpoints = [(binding, Tally()) for binding in bindings]
        async with AsyncExitStack() as stack:
            for binding, tally in endpoints:
                receive = partial(self._enqueue, inbox, binding, tally)
                subscription = self.wire.subscribe(binding.listen, receive, queue=micro.QUEUE)
                await stack.enter_async_context(subscription)
            await self._introduce(stack, service, endpoints)
            await self.wire.settle()  # from here on, nothing asked of us is lost
            try:
                yield inbox
            finally:
                while not inbox.empty():
                    await inbox.get_nowait().refuse()

    @asynccontextmanager
    async def listen(self, event: Event[Msg], **holes: str) -> AsyncGenerator[AsyncIterator[Msg]]:
        heard = asyncio.Queue[Msg](LISTEN_SIZE)

        async def receive(frame: Frame) -> None:
            message = read_event(event, frame.subject, frame.body)
            if message is not None:
                _put(heard, message)

        async with self.wire.subscribe(event.at(**holes), receive):
            await self.wire.settle()
            yield _each(heard)

    @asynccontextmanager
    async def disconnections(self) -> AsyncGenerator[AsyncIterator[Disconnection]]:
        """Who loses its connection. Only the system account hears it."""
        heard = asyncio.Queue[Disconnection](LISTEN_SIZE)

        async def receive(frame: Frame) -> None:
            lost = advisories.read(frame.body)
            if lost is not None:
                _put(heard, lost)

        async with self.wire.subscribe(advisories.DISCONNECTS, receive):
            await self.wire.settle()
            yield _each(heard)

    async def _introduce(
        self, stack: AsyncExitStack, name: str, endpoints: list[tuple[Binding, Tally]]
    ) -> None:
        service = micro.Service(
            name=name,
            id=secrets.token_hex(11),
            version=version(),
            started=UnixTime(self._clock()),
            endpoints=endpoints,
        )
        for subject, answer in service.controls().items():
            receive = partial(self._tell, answer)
            await stack.enter_async_context(self.wire.subscribe(subject, receive))

    async def _tell(self, answer: Callable[[], bytes], frame: Frame) -> None:
        if frame.reply:
            await self._respond(frame.reply, Reply(answer()))

    async def _enqueue(
        self, inbox: asyncio.Queue[Call], binding: Binding, tally: Tally, frame: Frame
    ) -> None:
        respond = partial(self._respond, frame.reply)
        await inbox.put(Call(binding, frame.subject, frame.body, respond, tally))

    async def _respond(self, to: str, reply: Reply) -> None:
        """Answers that cannot be sent are no fault of who made them: the asker asks again."""
        if not to:
            return
        try:
            await self.wire.publish(to, reply.body, headers=reply.headers)
        except NoAnswerError as error:
            log.warning("bus.answer_lost", reason=str(error))
        except RefusedError:
            reason = f"the answer of {len(reply.body)} bytes is more than the server carries"
            log.warning("bus.answer_too_large", size=len(reply.body))
            refusal = Refusal(error=RefusalCode.UNAVAILABLE, message=reason)
            await self._respond(to, write_refusal(refusal))


def _put(queue: asyncio.Queue[T], item: T) -> None:
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(item)


async def _each(queue: asyncio.Queue[T]) -> AsyncIterator[T]:
    while True:
        yield await queue.get()
