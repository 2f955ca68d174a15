"""The bus inside one process, through the same codec and the same refusals as the real one.

Nothing here takes real time, draws lots or starts a thread: under a virtual clock, and with a
Link of a test's making between the parties, a run is repeated exactly.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from relaymd.bus.broker import Broker, Endpoint, Listener
from relaymd.bus.bus import Inbox, NoAnswerError, NoResponderError
from relaymd.bus.codec import Reply, encode, read_answer, read_event, subject_of
from relaymd.bus.delivery import Call
from relaymd.bus.subjects import Binding, Event, Msg, Rep, Req, Request

T = TypeVar("T")


class MemoryBus:
    """One party's Bus. Parties that share a broker talk to each other."""

    def __init__(self, broker: Broker | None = None, party: str = "") -> None:
        """party: a name for the Link to tell parties apart by."""
        self.broker = broker or Broker()
        self.party = party

    async def ask(
        self, request: Request[Req, Rep], message: Req, *, within: float | None = None
    ) -> Rep:
        subject = subject_of(request, message)
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def answered(reply: Reply | None) -> None:
            if answer.done():
                return
            if reply is None:
                answer.set_exception(NoResponderError(f"nobody answers {subject}"))
            else:
                answer.set_result(reply)

        limit = request.within if within is None else within
        try:
            async with asyncio.timeout(limit):
                self.broker.request(self.party, subject, encode(message), answered)
                reply = await answer
        except TimeoutError as error:
            raise NoAnswerError(f"{subject}: no answer within {limit:g} s") from error
        return read_answer(request, reply)

    async def publish(self, event: Event[Msg], message: Msg) -> None:
        self.broker.publish(self.party, subject_of(event, message), encode(message))

    @asynccontextmanager
    async def serve(self, service: str, *bindings: Binding) -> AsyncGenerator[Inbox]:
        inbox = asyncio.Queue[Call]()
        endpoints = [Endpoint(self.party, binding, inbox) for binding in bindings]
        for endpoint in endpoints:
            self.broker.attach(endpoint)
        try:
            yield inbox
        finally:
            for endpoint in endpoints:
                self.broker.detach(endpoint)
            while not inbox.empty():
                await inbox.get_nowait().refuse()

    @asynccontextmanager
    async def listen(self, event: Event[Msg], **holes: str) -> AsyncGenerator[AsyncIterator[Msg]]:
        heard = asyncio.Queue[Msg]()
        pattern = event.at(**holes)

        def hear(subject: str, body: bytes) -> None:
            message = read_event(event, subject, body)
            if message is not None:
                heard.put_nowait(message)

        listener = Listener(self.party, hear)
        self.broker.listen(pattern, listener)
        try:
            yield _each(heard)
        finally:
            self.broker.unlisten(pattern, listener)


async def _each(queue: asyncio.Queue[T]) -> AsyncIterator[T]:
    while True:
        yield await queue.get()
