"""The stream of events in memory, which takes a while and whose acknowledgment may be lost."""

import asyncio
from collections.abc import Callable, Sequence
from random import Random

from relaymd.bus.bus import NoAnswerError, Record
from relaymd.bus.memory_journal import MemoryJournal


class ModelJournal(MemoryJournal):
    def __init__(self, rng: Random, watch: Callable[[int, bytes], None]) -> None:
        """watch: sees every event that is stored, and its place."""
        super().__init__()
        self.trouble = 0.0
        """The share of appends that are not acknowledged; half of these are stored."""

        self._rng = rng
        self._watch = watch

    async def append(self, records: Sequence[Record]) -> int:
        rng = self._rng
        lost = self.trouble > 0 and rng.random() < self.trouble
        await asyncio.sleep(rng.uniform(0.0, 0.005))
        if lost and rng.random() < 0.5:
            raise NoAnswerError("the stream of events does not acknowledge")
        known = len(self.stored)
        stored = await super().append(records)
        for place in range(known, len(self.stored)):
            self._watch(place, self.stored[place][1])
        await asyncio.sleep(rng.uniform(0.0, 0.005))
        if lost or not self.available:
            raise NoAnswerError("the acknowledgment is lost")
        return stored
