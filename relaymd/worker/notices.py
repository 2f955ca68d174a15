"""What a running engine may say to its worker: that a checkpoint lies there now.

    echo checkpoint > "$RELAYMD_NOTICES"

A named pipe in the lease's folder. The worker holds both its ends, so that whoever writes never
waits for a reader. What is written does not matter: it says that it is worth looking, and the
cycle finds out the rest from the files. An engine that writes without end fills its own pipe.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import structlog

log = structlog.get_logger()

AT_ONCE = 64 * 1024
"""Bytes that are taken together; as much as a pipe holds."""


class Notices:
    """Whether something was said since it was last asked for."""

    def __init__(
        self, path: Path | None = None, *, listen: Callable[[], None] | None = None
    ) -> None:
        """path: None where nothing can be said. listen: called when more may be heard."""
        self.path = path
        self._listen = listen
        self._heard = asyncio.Event()

    def hear(self) -> None:
        self._heard.set()

    async def next(self) -> bool:
        """Wait until the engine says something; what it said meanwhile counts once. True."""
        await self._heard.wait()
        self._heard.clear()
        if self._listen is not None:
            self._listen()
        return True


Listen = Callable[[Path], AbstractAsyncContextManager[Notices]]
"""Opens the pipe of that name for the time of an engine."""


@asynccontextmanager
async def nobody(_path: Path) -> AsyncGenerator[Notices]:
    """No pipe: cycles begin when their interval is over, and only then."""
    yield Notices()


@asynccontextmanager
async def pipe(path: Path) -> AsyncGenerator[Notices]:
    """A pipe of that name; where the file system has none, as `nobody`."""
    try:
        os.mkfifo(path, 0o600)
        reader = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        log.warning("notices.unavailable", reason=str(exc))
        yield Notices()
        return
    loop = asyncio.get_running_loop()

    def hear() -> None:
        loop.remove_reader(reader)  # until it was heeded: nobody can keep us busy
        with contextlib.suppress(BlockingIOError):
            os.read(reader, AT_ONCE)
        notices.hear()

    notices = Notices(path, listen=lambda: loop.add_reader(reader, hear))
    loop.add_reader(reader, hear)
    try:
        yield notices
    finally:
        loop.remove_reader(reader)
        os.close(reader)
