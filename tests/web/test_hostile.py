"""Hostile bytes on every route, by way of the real server and the real actors: an answer each."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple, cast

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from relaymd.bus.memory import MemoryBus
from relaymd.bus.memory_journal import MemoryJournal
from relaymd.bus.operating import Submit
from relaymd.web.app import build, runner
from tests.actors.office import opened
from tests.bus.samples import samples
from tests.hostile.payloads import CASES, SEED, TOKENS, Json, generator, payloads, shown, spoiled
from tests.web.conftest import TOKEN

pytestmark = pytest.mark.hostile

ROUTES = (
    "GET /api/v1/jobs", "POST /api/v1/jobs", "GET /api/v1/jobs/{id}", "GET /api/v1/workers",
    "POST /api/v1/jobs/{id}/cancel", "POST /api/v1/jobs/{id}/requeue", "GET /api/v1/status",
    "GET /api/v1/events", "GET /healthz", "GET /", "GET /page.js", "DELETE /nowhere",
)  # fmt: skip
WORDS = (
    b"j1", b"j-2", b"", b"..", b"%2e%2e", b"j" * 2000, b"%00", b"%ff%fe", b"%ED%A0%80", b"a%20b",
    b"%C3%A4", b"*", b"%3E", b"j.2", b"1'--", b"9" * 30, b"-1", b"%D9%A3", b"1e3", b"nan", b"1~j1",
    b"queued", b"running,failed", b"1", b"100", b"%", b"+", b"&", b"%0d%0aX:1", b"1e999~x",
)  # fmt: skip
HEADERS = (
    b"Last-Event-ID: %s", b"Cookie: relaymd=%s", b"Content-Type: %s", b"Accept: %s",
    b"Content-Encoding: %s", b"Range: bytes=%s", b"X-%s: 1", b"Expect: %s", b"Upgrade: %s",
    b"Authorization: %s", b"Connection: %s", b"%s", b"Content-Length: %s",
    b"Transfer-Encoding: %s", b"If-Match: %s",
)  # fmt: skip


class Case(NamedTuple):
    raw: bytes
    plain: bool
    """The head is sound: there must be an answer to it, in the one shape."""


def request(rng: Random, route: str, body: bytes) -> Case:
    method, path = route.encode().split(b" ")
    path = path.replace(b"{id}", rng.choice(WORDS))
    if rng.random() < 0.6:
        names = rng.choices((b"limit", b"after", b"state", b"token", rng.choice(WORDS)), k=2)
        path += b"?" + b"&".join(name + b"=" + rng.choice(WORDS) for name in names)
    lines = [
        b"%s %s HTTP/1.1" % (method, path),
        b"Host: x",
        b"Authorization: Bearer " + TOKEN.encode(),
        b"Content-Length: %d" % len(body),
    ]
    head = b"\r\n".join(lines)
    plain = rng.random() < 0.7
    if not plain and rng.random() < 0.5:
        value = rng.choice((*TOKENS, *WORDS))
        head += b"\r\n" + rng.choice(HEADERS).replace(b"%s", value)
    elif not plain:
        head = spoiled(rng, head)
    return Case(head + b"\r\n\r\n" + body, plain)


def cases(rng: Random, route: str) -> Iterator[Case]:
    good: list[Json] = [{**cast(dict[str, Json], one), "job": "j1"} for one in samples(Submit)]
    for body in payloads(rng, good, CASES):
        yield request(rng, route, body if rng.random() < 0.9 or "POST" in route else b"")


class Line:
    """One connection at a time, made anew whenever the server has hung up."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writer: asyncio.StreamWriter | None = None
        self._reader = asyncio.StreamReader()

    async def ask(self, case: Case) -> tuple[int, bytes] | None:
        """Status and body; None where the server had nothing to say to what was no request."""
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            self._writer.write(case.raw)
            if not case.plain:
                self._writer.write_eof()  # it may wait for more otherwise
            async with asyncio.timeout(5):
                head = await self._reader.readuntil(b"\r\n\r\n")
                size = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
                body = await self._reader.readexactly(int(size or b"0"))  # a stream has no size
        except (asyncio.IncompleteReadError, ConnectionError):
            assert not case.plain
            self.hang_up()
            return None
        if not case.plain or not size or b"connection: close" in head.lower():
            self.hang_up()
        return int(head.split(b" ", 2)[1]), body

    def hang_up(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None


@asynccontextmanager
async def bridge(folder: Path) -> AsyncGenerator[Line]:
    """The bridge before an orchestrator; the orchestrator must be unhurt at the end."""
    async with opened(folder / "relaymd.db") as office:
        await office.operator.submit("j1")
        bus = MemoryBus(office.parts.broker, "bridge")
        served = runner(build(bus, MemoryJournal(), token=TOKEN))
        await served.setup()
        site = web.TCPSite(served, "127.0.0.1", 0)
        await site.start()
        line = Line(served.addresses[0][1])
        try:
            yield line
        finally:
            line.hang_up()
            await served.cleanup()
        status = await office.operator.status()
        assert not [one for one in status.actors if one.restarts]


@pytest.mark.parametrize("route", ROUTES)
async def test_whatever_is_asked_gets_an_answer_in_the_one_shape(
    route: str, tmp_path: Path
) -> None:
    with capture_logs() as logged:
        async with bridge(tmp_path) as line:
            for number, case in enumerate(cases(generator(route), route)):
                try:
                    answer = await line.ask(case)
                    assert answer is not None or not case.plain
                    if answer is not None:
                        check(*answer, plain=case.plain)
                except BaseException as exc:
                    exc.add_note(f"case {number} of RELAYMD_FUZZ_SEED={SEED}: {shown(case.raw)}")
                    raise
    assert not [one for one in logged if one["event"] == "bridge.request_failed"]


def check(status: int, body: bytes, *, plain: bool) -> None:
    assert 200 <= status < 500 or status == 503, body
    if status >= 400 and plain:
        assert {"error", "message"} <= {*json.loads(body)}
    assert b"Traceback" not in body
