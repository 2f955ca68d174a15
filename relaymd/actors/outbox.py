"""Publishes what the ledger has recorded: every event once, in order, whoever dies when."""

from collections.abc import Iterable
from typing import ClassVar

import structlog

from relaymd.actors.actor import Actor
from relaymd.actors.bell import Bell
from relaymd.actors.disk import DiskError
from relaymd.actors.ledger import Ledger
from relaymd.bus.bus import Bus, BusError, Journal

log = structlog.get_logger(__name__)

BATCH = 500
"""Events read from the ledger at a time."""


class Outbox(Actor):
    """The ledger is what happened; the stream is how others hear of it, and may be late."""

    name: ClassVar[str] = "outbox"
    every: ClassVar[float] = 1.0

    def __init__(self, bus: Bus, ledger: Ledger, journal: Journal) -> None:
        super().__init__(bus)
        self._ledger = ledger
        self._journal = journal
        self._waiting = False

    def bells(self) -> Iterable[Bell]:
        yield self._ledger.committed

    async def tick(self) -> None:
        try:
            while await self._publish_some():
                pass
        except (BusError, DiskError) as exc:
            if not self._waiting:
                log.warning("outbox.waits", unpublished=self._ledger.unpublished, reason=str(exc))
            self._waiting = True
        else:
            self._waiting = False

    async def _publish_some(self) -> bool:
        """Whether there may be more. Where there is nothing, nothing is read."""
        if self._ledger.unpublished <= 0:
            return False
        rows = await self._ledger.archive.events_after(self._ledger.published_up_to, limit=BATCH)
        if not rows:
            return False
        stored = await self._journal.append(rows)
        self._ledger.published(stored)
        return stored > rows[0].seq - 1
