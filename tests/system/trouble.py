"""An HTTP proxy before a real S3 server, that answers as badly as a test wants, for a time."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from enum import StrEnum

from aiohttp import ClientSession, DummyCookieJar, web
from multidict import CIMultiDict
from yarl import URL

SLOW_SECONDS = 1.0
HANG_SECONDS = 6.0
"""How long a hanging request is silent before its connection breaks."""

HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "te", "upgrade"}
ERROR = '<?xml version="1.0"?><Error><Code>{code}</Code><Message>injected</Message></Error>'


class Mood(StrEnum):
    WELL = "well"
    BROKEN = "500"
    SLOW_DOWN = "503"
    DENIED = "403"
    HANG = "hang"
    CUT = "cut"
    """Half a request is swallowed, or half an answer sent, and the connection breaks."""

    SLOW = "slow"


ANSWERS = {
    Mood.BROKEN: (500, "InternalError"),
    Mood.SLOW_DOWN: (503, "SlowDown"),
    Mood.DENIED: (403, "AccessDenied"),
}


class TroubledS3:
    """Forwards to the server behind it; `mood` may be changed at any time."""

    def __init__(self, target: str, session: ClientSession, *, seed: int = 1) -> None:
        self.mood = Mood.WELL
        self.rate = 1.0
        """Chance of a request to meet the mood."""

        self.url = ""
        self.met: Counter[Mood] = Counter()
        """Requests by what happened to them."""

        self._target = target
        self._session = session
        self._random = random.Random(seed)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except ConnectionResetError:  # the client was killed, which is what tests do
            return web.Response(status=500)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        mood = self.mood if self._random.random() < self.rate else Mood.WELL
        self.met[mood] += 1
        if mood in ANSWERS:
            await request.read()
            status, code = ANSWERS[mood]
            body = "" if request.method == "HEAD" else ERROR.format(code=code)
            return web.Response(status=status, text=body, content_type="application/xml")
        if mood is Mood.HANG:
            await asyncio.sleep(HANG_SECONDS)
            return _break(request)
        if mood is Mood.CUT and request.method != "GET":
            await request.content.readany()
            return _break(request)
        if mood is Mood.SLOW:
            await asyncio.sleep(SLOW_SECONDS)
        return await self._forward(request, cut=mood is Mood.CUT)

    async def _forward(self, request: web.Request, *, cut: bool) -> web.StreamResponse:
        headers = CIMultiDict(
            (name, value) for name, value in request.headers.items() if name.lower() not in HOP
        )
        async with self._session.request(
            request.method,
            URL(self._target + request.raw_path, encoded=True),
            headers=headers,  # with the Host that was signed
            data=await request.read(),
            allow_redirects=False,
            skip_auto_headers=("Content-Type", "User-Agent", "Accept-Encoding"),
        ) as answer:
            body = await answer.read()
            kept = CIMultiDict(
                (name, value) for name, value in answer.headers.items() if name.lower() not in HOP
            )
            if request.method == "HEAD":
                kept["Content-Length"] = answer.headers.get("Content-Length", "0")
            if not cut:
                return web.Response(status=answer.status, headers=kept, body=body)
        half = web.StreamResponse(status=200, headers={**kept, "Content-Length": str(len(body))})
        await half.prepare(request)
        await half.write(body[: len(body) // 2])
        return _break(request, half)


def _break(request: web.Request, answer: web.StreamResponse | None = None) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return answer or web.Response(status=500)


@asynccontextmanager
async def troubled(target: str, *, seed: int = 1) -> AsyncGenerator[TroubledS3, None]:
    """A proxy before the S3 server at `target`, well until told otherwise."""
    async with ClientSession(auto_decompress=False, cookie_jar=DummyCookieJar()) as session:
        proxy = TroubledS3(target, session, seed=seed)
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", proxy.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            proxy.url = f"http://127.0.0.1:{port}"
            yield proxy
        finally:
            await runner.cleanup()
