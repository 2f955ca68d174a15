"""What a process may ask of a bus, whatever carries it."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from relaymd.bus.messages import Refusal, RefusalCode
from relaymd.bus.subjects import Binding, Event, Msg, Rep, Req, Request


class BusError(Exception):
    """Base of everything a bus raises on purpose."""


class NoResponderError(BusError):
    """Nobody serves the subject: the request was certainly not handled."""


class NoAnswerError(BusError):
    """No answer in time, or the connection is down: the request may have been handled."""


class UnreachableError(BusError):
    """No server answers at the address, or it does not let us in."""


class RefusedError(BusError):
    """The other side answered that it will not. Handlers raise it; askers receive it."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal

    @classmethod
    def because(cls, error: RefusalCode, message: str) -> "RefusedError":
        return cls(Refusal(error=error, message=message))


class Delivery(Protocol):
    """One request that arrived, waiting for its turn."""

    async def handle(self) -> None:
        """Run the handler now, without awaiting, then send its answer when it is there.

        The handler runs before the first await, so that turns are kept by awaiting or by
        starting a task eagerly. Never raises what the peer caused.
        """


class Inbox(Protocol):
    async def get(self) -> Delivery: ...


class Record(Protocol):
    """One fact to append to the stream of events, as the outbox holds it."""

    @property
    def seq(self) -> int: ...
    @property
    def subject(self) -> str: ...
    @property
    def body(self) -> bytes: ...


class Bus(Protocol):
    """Requests, answers and unstored publications."""

    async def ask(
        self, request: Request[Req, Rep], message: Req, *, within: float | None = None
    ) -> Rep:
        """Send a request and wait for its answer.

        Raises NoResponderError, NoAnswerError or RefusedError.
        """
        ...

    async def publish(self, event: Event[Msg], message: Msg) -> None:
        """Send to whoever listens just now; nobody may, and it may be lost."""
        ...

    def serve(self, service: str, *bindings: Binding) -> AbstractAsyncContextManager[Inbox]:
        """Collect what arrives for the bindings until the context exits.

        service: the name under which `nats micro ls` shows it.
        """
        ...

    def listen(
        self, event: Event[Msg], **holes: str
    ) -> AbstractAsyncContextManager[AsyncIterator[Msg]]:
        """What is published from now on; unreadable messages are passed over."""
        ...


class Journal(Protocol):
    """The stream of events: every fact once, in order, kept by the server."""

    async def append(self, records: Sequence[Record]) -> int:
        """Add the records in order and return the `seq` of the last that is stored.

        A record that the stream has already is not added again, also after a crash of either
        side. Raises NoAnswerError when the stream cannot be reached.
        """
        ...

    def follow(
        self, *, subject: str, after: int = 0, live: bool = True
    ) -> AsyncGenerator[tuple[str, bytes]]:
        """Subjects and bodies with `seq` greater than `after`, oldest first.

        live: whether to go on with what comes; else it ends with what is there.
        """
        ...
