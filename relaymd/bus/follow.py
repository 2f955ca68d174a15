"""Reading the stream of events from any of its events on, through any number of interruptions.

The reader keeps its own place: the ledger's number of the last event it gave out. After
whatever interruption it looks up that place anew, so that nothing the server forgets matters.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog

from relaymd.bus.bus import BusError
from relaymd.bus.stream import SECOND, StreamApi, number
from relaymd.bus.wire import Collector, Frame, Wire

log = structlog.get_logger()

BATCH = 256
"""Events the server may send before it is asked for more."""

HEARTBEAT = 2.0
"""Seconds between signs of life while nothing happens; after two the reader starts anew."""

EXPIRES = 60.0
"""Seconds after which an order for events is renewed."""

AGAIN = 0.25
"""Seconds before looking again for a stream that cannot be read."""


class _LostPlaceError(Exception):
    """The place has to be looked up anew."""


async def follow(
    wire: Wire, *, subject: str, after: int, live: bool
) -> AsyncGenerator[tuple[str, bytes]]:
    """See Journal.follow. Raises BusError only where `live` is False."""
    api = StreamApi(wire)
    while True:
        try:
            async with aclosing(_read(api, wire, subject, after, live)) as frames:
                async for frame in frames:
                    seq = number(frame.body)
                    if seq > after:
                        after = seq
                        yield frame.subject, frame.body
            if not live:
                return
        except (BusError, _LostPlaceError) as error:
            if not live and isinstance(error, BusError):
                raise
            log.debug("journal.interrupted", reason=str(error))
        await asyncio.sleep(AGAIN)


async def _read(
    api: StreamApi, wire: Wire, subject: str, after: int, live: bool
) -> AsyncGenerator[Frame]:
    """Events behind `after`, until there are no more or the reading is interrupted."""
    start = await _locate(api, after)
    if start is None:
        return
    consumer = await api.consumer(subject, start)
    async with wire.collect() as collector:
        await wire.settle()
        read, before = 0, -1
        while live or before < read < consumer.num_pending:
            before = read
            await api.pull(consumer.name, collector.inbox, _order(live))
            async with aclosing(_batch(collector)) as frames:
                async for frame in frames:
                    read += 1
                    if _delivered(frame) != read:
                        raise _LostPlaceError(f"event {read} of this reading was lost")
                    yield frame


async def _locate(api: StreamApi, after: int) -> int | None:
    """The position of the first event behind `after`, by halving; None without a stream."""
    info = await api.info()
    if info is None:
        return None
    low, high = info.state.first_seq, info.state.last_seq + 1
    if after <= 0 or info.state.messages == 0:
        return low if info.state.messages else high
    while low < high:
        middle = (low + high) // 2
        found = await api.message_from(middle)
        if found is None or number(found.data) > after:
            high = middle
        else:
            low = max(found.seq, middle) + 1  # forward, whatever the server says
    return low


def _order(live: bool) -> dict[str, object]:
    if not live:
        return {"batch": BATCH, "no_wait": True}
    return {
        "batch": BATCH,
        "expires": round(EXPIRES * SECOND),
        "idle_heartbeat": round(HEARTBEAT * SECOND),
    }


async def _batch(collector: Collector) -> AsyncGenerator[Frame]:
    """The events of one order. Ends where the server says that it is done."""
    for _ in range(BATCH):
        while True:
            frame = await _next(collector)
            status = "" if frame.body else frame.headers.get("Status", "")
            if not status:
                break
            if status in ("404", "408"):
                return
            if status != "100":
                raise _LostPlaceError(frame.headers.get("Description", status))
        yield frame


async def _next(collector: Collector) -> Frame:
    try:
        async with asyncio.timeout(2 * HEARTBEAT):
            frame = await collector.arrived.get()
    except TimeoutError:
        raise _LostPlaceError("the server is silent") from None
    if frame is None:
        raise _LostPlaceError("the connection was lost")
    return frame


def _delivered(frame: Frame) -> int:
    """How many events this reading has had with this one, as the server counts.

    From `$JS.ACK.<stream>.<consumer>.<times>.<position>.<count>.<time>.<pending>`; newer servers
    put a domain and an account before the stream.
    """
    tokens = frame.reply.split(".")
    place = 6 if len(tokens) < 11 else 8
    count = tokens[place] if len(tokens) > place else ""
    return int(count) if count.isascii() and count.isdigit() and len(count) < 20 else 0
