"""The network between the processes of a simulation, and everything it does to messages."""

import asyncio
from collections.abc import Callable
from random import Random

from relaymd.bus.broker import Kind, Parcel
from tests.simulation.process import WORLD
from tests.simulation.story import Story

LATEST = 10.0
"""Seconds after which the late copy of a request may still arrive."""


class Network:
    """A Link: every parcel takes a while; some are lost, doubled, late or overtaken.

    Parties that are cut off neither send nor receive; a party that has died is cut off for ever.
    What is on its way when its receiver is cut off is lost.
    """

    def __init__(self, rng: Random, story: Story, witness: Callable[[Parcel], None]) -> None:
        """witness: sees everything that somebody sent."""
        self.loss = 0.0
        self.doubling = 0.0
        self.late = 0.0
        """The share of requests of which another copy arrives seconds later."""

        self.slowest = 0.005
        """Seconds a parcel takes at most."""

        self.down = 0
        """How many reasons there are for the server to be away."""

        self.cut: set[str] = set()
        self.mute: set[str] = set()
        """Parties whose words do not arrive, though they hear others."""

        self.deaf: set[str] = set()
        self.sluggish: dict[str, float] = {}
        """Seconds by which a party is behind with what it receives."""

        self._rng = rng
        self._story = story
        self._witness = witness

    def __call__(self, parcel: Parcel, deliver: Callable[[], None], /) -> None:
        self._witness(parcel)
        if self._is_cut(parcel) or parcel.sender in self.mute:
            return
        rng = self._rng
        if self.loss and rng.random() < self.loss:
            self._story.tell(parcel, "is lost")
            return
        self._story.tell(parcel)
        self._send(parcel, deliver, rng.uniform(0, self.slowest))
        if parcel.kind is not Kind.EVENT and self.doubling and rng.random() < self.doubling:
            self._send(parcel, deliver, rng.uniform(0, self.slowest))
        if parcel.kind is Kind.REQUEST and self.late and rng.random() < self.late:
            self._send(parcel, deliver, rng.uniform(0, LATEST))

    def _send(self, parcel: Parcel, deliver: Callable[[], None], delay: float) -> None:
        delay += self.sluggish.get(parcel.receiver, 0.0)
        asyncio.get_running_loop().call_later(delay, self._arrive, parcel, deliver, context=WORLD)

    def _arrive(self, parcel: Parcel, deliver: Callable[[], None]) -> None:
        if not self._is_cut(parcel) and parcel.receiver not in self.deaf:
            deliver()

    def _is_cut(self, parcel: Parcel) -> bool:
        return bool(self.down) or parcel.sender in self.cut or parcel.receiver in self.cut
