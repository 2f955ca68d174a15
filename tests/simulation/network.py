"""The network between the processes of a simulation, and everything it does to messages."""

import asyncio
from collections.abc import Callable
from random import Random

from tests.simulation.loop import WORLD
from tests.simulation.story import Story

from relaymd.bus.broker import Kind, Parcel


class Network:
    """A Link: every parcel takes a while; some are lost, doubled or overtaken.

    Parties that are cut off neither send nor receive; a party that has died is cut off for ever.
    What is on its way when its receiver is cut off is lost.
    """

    def __init__(self, rng: Random, story: Story) -> None:
        self.loss = 0.0
        self.doubling = 0.0
        self.slowest = 0.005
        """Seconds a parcel takes at most."""

        self.down = 0
        """How many reasons there are for the server to be away."""

        self.cut: set[str] = set()
        self._rng = rng
        self._story = story

    def __call__(self, parcel: Parcel, deliver: Callable[[], None], /) -> None:
        if self._is_cut(parcel):
            return
        if self._rng.random() < self.loss:
            self._story.tell(parcel, "is lost")
            return
        self._story.tell(parcel)
        copies = 1
        if parcel.kind is not Kind.EVENT and self._rng.random() < self.doubling:
            copies = 2
        for _ in range(copies):
            delay = self._rng.uniform(0, self.slowest)
            asyncio.get_running_loop().call_later(
                delay, self._arrive, parcel, deliver, context=WORLD
            )

    def _arrive(self, parcel: Parcel, deliver: Callable[[], None]) -> None:
        if not self._is_cut(parcel):
            deliver()

    def _is_cut(self, parcel: Parcel) -> bool:
        return bool(self.down) or parcel.sender in self.cut or parcel.receiver in self.cut
