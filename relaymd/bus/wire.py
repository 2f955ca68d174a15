"""A connection as the rest of the bus sees it, so that only its adapter need know the library."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from relaymd.bus.codec import Reply


class Frame(NamedTuple):
    """One message as it arrived."""

    subject: str
    reply: str
    """Where an answer is to be sent; empty: none is wanted."""

    body: bytes
    headers: Mapping[str, str]


class Collector(NamedTuple):
    """An inbox of one's own and what arrives there; None: the connection was lost meanwhile."""

    inbox: str
    arrived: asyncio.Queue[Frame | None]


class Wire(Protocol):
    @property
    def connected(self) -> bool: ...

    async def publish(
        self,
        subject: str,
        body: bytes,
        *,
        reply: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Hand it to the connection; whether it arrives is not known.

        Raises NoAnswerError without a connection, RefusedError where it is too large.
        """
        ...

    async def post(
        self, subject: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> asyncio.Future[Reply]:
        """Send a question now; its answer comes later. Raises as `publish` does.

        The future fails with NoResponderError, NoAnswerError or RefusedError.
        """
        ...

    async def request(self, subject: str, body: bytes, *, within: float) -> Reply:
        """Send a question, also when the connection must first come back, and wait.

        Raises NoResponderError, NoAnswerError, RefusedError.
        """
        ...

    def subscribe(
        self, subject: str, receive: Callable[[Frame], Awaitable[None]], *, queue: str = ""
    ) -> AbstractAsyncContextManager[None]: ...

    async def settle(self) -> None:
        """Return when the server knows of every subscription made so far, if it is there."""
        ...

    def collect(self) -> AbstractAsyncContextManager[Collector]: ...
