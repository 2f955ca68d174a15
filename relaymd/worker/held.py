"""A lease as its worker holds it: how far it is, and what others want of it.

    NOTHING ──► DRAIN ──► CANCEL ──► DROP        a wish only ever grows stronger

DRAIN: bring the engine to a stop, store, hand on. CANCEL: stop the engine, say so. DROP: the
lease is over; stop the engine at once, upload nothing more, say nothing more.
"""

import asyncio
from collections.abc import Callable
from enum import IntEnum

from relaymd.bus.messages import HeldLease, Phase, Standing
from relaymd.core.checkpoint import Progress
from relaymd.core.ids import Epoch, JobId, Monotonic


class Wish(IntEnum):
    NOTHING = 0
    DRAIN = 1
    CANCEL = 2
    DROP = 3


class Held:
    """One lease in this worker's hands. Whoever learns something of it says it here."""

    def __init__(self, job: JobId, epoch: Epoch) -> None:
        self.job = job
        self.epoch = epoch
        self.phase = Phase.STAGING
        self.progress: Progress | None = None
        self.wish = Wish.NOTHING
        self.reason = ""
        """Why it is wished, for people."""

        self.until = Monotonic(float("inf"))
        """When a drain must be over; a second signal brings it nearer."""

        self._changed = asyncio.Event()

    def drain(self, reason: str, until: Monotonic) -> None:
        self.until = min(self.until, until)
        self._grow(Wish.DRAIN, reason)

    def cancel(self) -> None:
        self._grow(Wish.CANCEL, "an operator cancelled the job")

    def drop(self) -> None:
        self._grow(Wish.DROP, "the lease is over")

    def heed(self, standing: Standing) -> bool:
        """Take in what an answer says of the lease; whether the message was accepted."""
        if standing is Standing.CANCELLED:
            self.cancel()
        elif standing is Standing.SUPERSEDED:
            self.drop()
        return standing is not Standing.SUPERSEDED

    async def wished(self, at_least: Wish) -> None:
        """Wait until this much is wished; at once if it is already."""
        while self.wish < at_least:
            await self._changed.wait()

    async def past(self, moment: Callable[[], float]) -> None:
        """Wait until the loop's clock is past a moment, which may move when a wish changes."""
        loop = asyncio.get_running_loop()
        while (left := moment() - loop.time()) > 0:
            try:
                async with asyncio.timeout(min(left, 3600.0)):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def said(self) -> HeldLease:
        """As a heartbeat carries it."""
        return HeldLease(job=self.job, epoch=self.epoch, phase=self.phase, progress=self.progress)

    def _grow(self, wish: Wish, reason: str) -> None:
        if wish > self.wish:
            self.wish, self.reason = wish, reason
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
