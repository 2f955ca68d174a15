"""The connection to a NATS server."""
# pyright: reportUnknownMemberType=false
# nats-py is typed in parts only; what it gives us is checked where it enters.

import asyncio
import os
import random
import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import structlog

from relaymd.bus.advisories import Disconnection
from relaymd.bus.bus import NoAnswerError, RefusedError, UnreachableError
from relaymd.bus.codec import Reply
from relaymd.bus.messages import RefusalCode
from relaymd.bus.nats_py import Msg as NatsMsg
from relaymd.bus.nats_py import Server, errors
from relaymd.bus.remote import NatsBus
from relaymd.bus.replies import Replies
from relaymd.bus.sturdy import DENIED, SturdyClient
from relaymd.bus.wire import Collector, Frame
from relaymd.connection import Role

log = structlog.get_logger()

FIRST_CONNECT = 1.5
"""Seconds until a server that does not answer counts as unreachable."""

RECONNECT_EVERY = (0.1, 0.4)
"""Seconds between attempts to find the server again: drawn, so that not all come at once."""

PING_EVERY = 2
"""Seconds; after two that were not answered the server is taken for dead."""

RECONNECT_PATIENCE = 5.0
"""Seconds a request waits for the connection to come back before it fails."""

CLOSING = 2.0
"""Seconds for saying goodbye to a server that may be dead."""

CREDENTIALS = re.compile(r"^([a-z]+://)?.*@")
"""What of an address must not be shown."""

REFUSED = "authorization"
"""What the server says of credentials that it does not know."""


def _nothing() -> None:
    pass


@asynccontextmanager
async def connect(
    url: str,
    *,
    role: Role,
    password: str,
    name: str,
    user: str | None = None,
    patience: float = FIRST_CONNECT,
    on_disconnect: Callable[[], None] = _nothing,
    on_reconnect: Callable[[], None] = _nothing,
) -> AsyncGenerator[NatsBus]:
    """A bus that finds its server again for ever, once it has found it in `patience` seconds.

    name: who this is, as the server tells when the connection is lost: of a worker, its id.
    user: None: the role's name. on_disconnect, on_reconnect: called soon after, from the loop.

    Raises UnreachableError.
    """
    wire = NatsWire(_place(url), role, on_disconnect, on_reconnect)
    try:
        await wire.open(url, user or role.value, password, name, patience)
        yield NatsBus(wire)
    finally:
        await wire.close()


class NatsWire:
    """A Wire: nats-py's client, with its errors and callbacks turned into ours."""

    def __init__(
        self,
        place: str,
        role: Role,
        on_disconnect: Callable[[], None],
        on_reconnect: Callable[[], None],
    ) -> None:
        self._place = place
        self._client = SturdyClient()
        self._inbox = f"_INBOX.{role.value}"
        self._replies = Replies(f"{self._inbox}.{secrets.token_hex(12)}")
        self._collectors: set[asyncio.Queue[Frame | None]] = set()
        self._on_disconnect = on_disconnect
        self._on_reconnect = on_reconnect
        self._up = asyncio.Event()
        self._answering = False
        self._opened = False
        self._closing = False
        self._last_error = "no answer"

    async def open(self, url: str, user: str, password: str, name: str, patience: float) -> None:
        try:
            async with asyncio.timeout(patience):
                await self._client.connect(
                    url.split(","),
                    name=name,
                    user=user,
                    password=password,
                    inbox_prefix=self._inbox,
                    connect_timeout=2,
                    allow_reconnect=True,
                    max_reconnect_attempts=-1,
                    reconnect_to_server_handler=_any_server_soon,
                    ping_interval=PING_EVERY,
                    max_outstanding_pings=2,
                    error_cb=self._failed,
                    disconnected_cb=self._disconnected,
                    reconnected_cb=self._reconnected,
                )
        except (TimeoutError, errors.Error, ValueError, OSError) as error:
            reason = self._last_error if isinstance(error, TimeoutError) else _reason(error)
            raise UnreachableError(f"cannot reach NATS at {self._place}: {reason}") from error
        self._opened = True
        self._up.set()

    async def close(self) -> None:
        self._closing = True
        self._replies.lost("the connection was closed")
        with suppress(TimeoutError, errors.Error, OSError):
            async with asyncio.timeout(CLOSING):
                await self._client.close()

    @property
    def connected(self) -> bool:
        return self._up.is_set()

    async def publish(
        self,
        subject: str,
        body: bytes,
        *,
        reply: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if not self.connected:
            raise NoAnswerError(f"{subject}: not connected to {self._place}")
        try:
            await self._client.publish(subject, body, reply, dict(headers) if headers else None)
        except errors.MaxPayloadError as error:
            reason = f"{subject}: {len(body)} bytes are more than the server carries"
            raise RefusedError.because(RefusalCode.INVALID, reason) from error
        except errors.Error as error:
            raise NoAnswerError(f"{subject}: {error}") from error

    async def post(
        self, subject: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> asyncio.Future[Reply]:
        if not self._answering:
            await self._client.subscribe(self._replies.pattern, cb=self._answered)
            self._answering = True
        inbox, future = self._replies.expect(subject)
        try:
            await self.publish(subject, body, reply=inbox, headers=headers)
        except (NoAnswerError, RefusedError):
            future.cancel()
            raise
        return future

    async def request(self, subject: str, body: bytes, *, within: float) -> Reply:
        try:
            async with asyncio.timeout(within):
                async with asyncio.timeout(min(within, RECONNECT_PATIENCE)):
                    await self._up.wait()
                return await (await self.post(subject, body))
        except TimeoutError as error:
            state = f"no answer within {within:g} s" if self.connected else "not connected"
            raise NoAnswerError(f"{subject}: {state}") from error

    @asynccontextmanager
    async def subscribe(
        self, subject: str, receive: Callable[[Frame], Awaitable[None]], *, queue: str = ""
    ) -> AsyncGenerator[None]:
        subscription = await self._client.subscribe(subject, queue, partial(_pass_on, receive))
        try:
            yield
        finally:
            with suppress(errors.Error):  # where the connection is closed, so is this
                await subscription.unsubscribe()

    async def settle(self) -> None:
        if self.connected:
            with suppress(errors.Error):  # a reconnect repeats every subscription
                # Twice: nats-py's ping overtakes what its flusher has not sent yet, and only
                # the second is certain to come behind it.
                await self._flush()
                await self._flush()

    async def _flush(self) -> None:
        # Shielded, because it calls Python 3.11's `wait_for`, which swallows a cancellation
        # that comes in the same turn of the loop as the answer.
        await asyncio.shield(self._client.flush(timeout=5))

    @asynccontextmanager
    async def collect(self) -> AsyncGenerator[Collector]:
        queue = asyncio.Queue[Frame | None]()
        inbox = self._client.new_inbox()

        async def receive(frame: Frame) -> None:
            queue.put_nowait(frame)

        self._collectors.add(queue)
        try:
            async with self.subscribe(inbox, receive):
                yield Collector(inbox, queue)
        finally:
            self._collectors.discard(queue)

    async def _answered(self, raw: NatsMsg) -> None:
        self._replies.arrived(raw.subject, Reply(raw.data, raw.headers))

    async def _failed(self, error: Exception) -> None:
        reason = _reason(error)
        if DENIED in reason:
            self._replies.denied(reason.partition('publish to "')[2].partition('"')[0])
            log.error("nats.denied", reason=reason)
            return
        if REFUSED in reason.lower() and not self._opened:
            raise UnreachableError(
                f"cannot reach NATS at {self._place}: it does not accept these credentials"
            )
        if reason != self._last_error and self._opened:
            log.warning("nats.error", reason=reason, server=self._place)
        self._last_error = reason

    async def _disconnected(self) -> None:
        if self._closing or not self._up.is_set():
            return
        self._up.clear()
        log.warning("nats.disconnected", server=self._place)
        self._replies.lost("the connection was lost before an answer came")
        for queue in self._collectors:
            queue.put_nowait(None)
        asyncio.get_running_loop().call_soon(self._on_disconnect)

    async def _reconnected(self) -> None:
        self._up.set()
        log.info("nats.reconnected", server=self._place)
        asyncio.get_running_loop().call_soon(self._on_reconnect)


def _any_server_soon(servers: list[Server], _info: dict[str, Any]) -> tuple[Server, float]:
    return random.choice(servers), random.uniform(*RECONNECT_EVERY)


async def _pass_on(receive: Callable[[Frame], Awaitable[None]], raw: NatsMsg) -> None:
    await receive(Frame(raw.subject, raw.reply, raw.data, raw.headers or {}))


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__


def _place(url: str) -> str:
    """The address without the credentials that may stand in it."""
    return ",".join(CREDENTIALS.sub(r"\1", one) for one in url.split(","))


@asynccontextmanager
async def disconnections(
    url: str, *, password: str, name: str, user: str | None = None
) -> AsyncGenerator[AsyncIterator[Disconnection]]:
    """Who loses its connection, as the server's own account hears it; a hint, not a verdict.

    Raises UnreachableError.
    """
    async with (
        connect(url, role=Role.SYSTEM, password=password, name=name, user=user) as bus,
        bus.disconnections() as lost,
    ):
        yield lost
