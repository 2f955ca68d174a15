"""Group commit: what is recorded while one transaction is written shares the next one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeVar

import structlog

from relaymd.actors.disk import Batch, Disk, DiskError

T = TypeVar("T")

FIRST_RETRY = 0.1
LAST_RETRY = 2.0
"""Seconds between two tries of a disk that failed."""

log = structlog.get_logger(__name__)


class LedgerUnavailableError(Exception):
    """The disk does not take what must be on it. Nothing was changed; try again later."""


class Pending:
    """Changes on their way to the disk, and who waits for them."""

    def __init__(self) -> None:
        self.batch = Batch()
        self._waiters: list[tuple[asyncio.Future[Any], Any]] = []

    def promise(self, value: T) -> asyncio.Future[T]:
        """Becomes the value when the batch is on disk."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiters.append((future, value))
        return future

    def keep(self) -> None:
        for future, value in self._waiters:
            if not future.done():
                future.set_result(value)

    def fail(self, reason: str) -> None:
        for future, _ in self._waiters:
            if not future.done():
                future.set_exception(LedgerUnavailableError(reason))
                future.exception()  # not everybody waits, and that is no reason to complain


class Commits:
    """Writes batch after batch to the disk, each as soon as the one before is there.

    A batch that fails takes with it everything recorded since, for that stands on it. Then the
    state is read back, so that questions are answered from what is there, and the disk is
    tried until it takes something again.
    """

    def __init__(
        self,
        disk: Disk,
        *,
        stored: Callable[[Batch], None],
        reload: Callable[[], Awaitable[None]],
        probe: Callable[[], Awaitable[None]],
        recovered: Callable[[], None],
    ) -> None:
        """reload: reads the state back. probe: writes something that is known already."""
        self.pending = Pending()
        self.broken = ""
        """Why nothing can be recorded just now; empty: all is well."""

        self._disk = disk
        self._stored = stored
        self._reload = reload
        self._probe = probe
        self._recovered = recovered
        self._writing: Pending | None = None
        self._wake = asyncio.Event()

    def wake(self) -> None:
        self._wake.set()

    def settled(self, value: T) -> asyncio.Future[T]:
        """Becomes the value when everything recorded so far is on disk."""
        if self.pending.batch:
            return self.pending.promise(value)
        if self._writing is not None:
            return self._writing.promise(value)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self.broken:
            future.set_exception(LedgerUnavailableError(self.broken))
        else:
            future.set_result(value)
        return future

    async def run(self) -> NoReturn:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await asyncio.sleep(0)  # whoever has his turn just now comes along
            await self.flush()
            if self.broken:
                await self._recover()

    async def flush(self) -> None:
        """Write what is pending; also called at the end, for the last of it."""
        if not self.pending.batch:
            return
        self._writing, self.pending = self.pending, Pending()
        try:
            await self._disk.commit(self._writing.batch)
        except DiskError as exc:
            self._fail(str(exc))
        else:
            self._stored(self._writing.batch)
            self._writing.keep()
        finally:
            self._writing = None

    def _fail(self, reason: str) -> None:
        log.error("ledger.unavailable", reason=reason)
        self.broken = reason
        for pending in (self._writing, self.pending):
            if pending is not None:
                pending.fail(reason)
        self.pending = Pending()

    async def _recover(self) -> None:
        await self._insist(self._reload)
        await self._insist(self._probe)
        self.broken = ""
        log.info("ledger.recovered")
        self._recovered()

    async def _insist(self, step: Callable[[], Awaitable[None]]) -> None:
        delay = FIRST_RETRY
        while True:
            try:
                return await step()
            except DiskError as exc:
                self.broken = str(exc)
                await asyncio.sleep(delay)
                delay = min(delay * 2, LAST_RETRY)
