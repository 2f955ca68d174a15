"""A stream that answers anything: nobody who reads or writes it falls, or spins."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from random import Random

import pytest

from relaymd.bus.bus import BusError, NoResponderError
from relaymd.bus.codec import Reply
from relaymd.bus.follow import follow
from relaymd.bus.journal import NatsJournal
from relaymd.bus.wire import Collector, Frame
from tests.cli.desk import Record
from tests.hostile.payloads import CASES, SEED, TOKENS, WHOLE, Json, altered, generator, written
from tests.simulation.loop import VirtualLoop

pytestmark = pytest.mark.hostile

STATE = {"messages": 3, "first_seq": 1, "last_seq": 3}
GOOD: Mapping[str, Json] = {
    "$JS.API.STREAM.INFO": {"config": {"max_age": 1}, "state": STATE},
    "$JS.API.STREAM.CREATE": {"config": {}, "state": STATE},
    "$JS.API.STREAM.UPDATE": {"config": {}, "state": STATE},
    "$JS.API.STREAM.MSG": {"message": {"subject": "s", "seq": 2, "data": "eyJzZXEiOjJ9"}},
    "$JS.API.CONSUMER": {"name": "c", "num_pending": 3},
    "relaymd.event": {"stream": "x", "seq": 4},
}
ACK = "$JS.ACK.RELAYMD_EVENTS.c.1.{position}.{count}.1.2"
NUMBERS = ("1", "2", "3", "0", "-1", "x", "", "²", "٣", "9" * 5000, "1.5", "1.1.1.1.1.1")
HEADERS: tuple[dict[str, str], ...] = (
    {},
    {"Status": "100"},
    {"Status": "404"},
    {"Status": "408"},
    {"Status": "²", "": "x"},
)


class LyingWire:
    """A Wire to a server that is out of its mind."""

    connected = True

    def __init__(self, rng: Random, truth: float) -> None:
        """truth: the share of answers that are as they should be."""
        self._rng = rng
        self._truth = truth

    async def publish(
        self, subject: str, body: bytes, *, reply: str = "", headers: object = None
    ) -> None: ...

    async def post(
        self, subject: str, body: bytes, headers: object = None
    ) -> asyncio.Future[Reply]:
        future = asyncio.get_running_loop().create_future()
        future.set_result(self._reply(subject))
        return future

    async def request(self, subject: str, body: bytes, *, within: float) -> Reply:
        if self._rng.random() < 0.02:
            raise NoResponderError(subject)
        return self._reply(subject)

    def _reply(self, subject: str) -> Reply:
        good = next(answer for start, answer in GOOD.items() if subject.startswith(start))
        if self._rng.random() < self._truth:
            return Reply(json.dumps(good).encode())
        if self._rng.random() < 0.1:
            return Reply(self._rng.choice(WHOLE))
        return Reply(written(self._rng, altered(self._rng, good)))

    @asynccontextmanager
    async def subscribe(
        self, subject: str, receive: Callable[[Frame], Awaitable[None]], *, queue: str = ""
    ) -> AsyncGenerator[None]:
        yield

    async def settle(self) -> None: ...

    @asynccontextmanager
    async def collect(self) -> AsyncGenerator[Collector]:
        arrived = asyncio.Queue[Frame | None]()
        for count in range(1, self._rng.randrange(1, 6)):
            arrived.put_nowait(self._frame(count))
        arrived.put_nowait(None)
        yield Collector("_INBOX.x", arrived)

    def _frame(self, count: int) -> Frame:
        rng = self._rng
        if rng.random() < self._truth:
            reply = ACK.format(position=count, count=count)
            return Frame("relaymd.event.job.j.x", reply, b'{"seq":%d}' % count, {})
        reply = ACK.format(position=rng.choice(NUMBERS), count=rng.choice(NUMBERS))
        body = rng.choice((b"", b'{"seq":7}', b"x", *TOKENS))
        return Frame("x", rng.choice(("", reply)), body, rng.choice(HEADERS))


@dataclass(frozen=True)
class Lying:
    """A bus with such a wire."""

    wire: LyingWire


async def read(wire: LyingWire, rng: Random) -> int:
    """How many events came."""
    found = 0
    after = rng.choice((0, 1, 2, 10**9))
    try:
        async with asyncio.timeout(3):
            events = follow(wire, subject="relaymd.event.>", after=after, live=rng.random() < 0.5)
            async with aclosing(events) as bodies:
                async for _ in bodies:
                    found += 1
    except (BusError, TimeoutError):
        pass
    return found


async def write(wire: LyingWire) -> None:
    journal = NatsJournal(Lying(wire))
    for seq in (3, 4):
        try:
            async with asyncio.timeout(3):
                await journal.prepare()
                await journal.append([Record(seq=seq, subject="relaymd.event.job.j.x", body=b"{}")])
        except (BusError, TimeoutError):
            pass


def test_no_answer_of_the_stream_makes_a_reader_or_the_writer_fall_or_spin() -> None:
    rng = generator("stream")

    async def case() -> int:
        wire = LyingWire(rng, truth=rng.choice((0.0, 0.5, 0.9, 1.0)))
        await write(wire)
        return await read(wire, rng)

    found = 0
    for number in range(CASES):
        loop = VirtualLoop()  # type: ignore[abstract] # what nothing here calls is not written
        try:
            found += loop.run(case()) or 0
        except BaseException as exc:
            exc.add_note(f"case {number} of RELAYMD_FUZZ_SEED={SEED}")
            raise
    assert found > CASES / 10
