"""Where the parties of an in-memory bus meet, and what may come between them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Protocol

from relaymd.bus.codec import Reply
from relaymd.bus.delivery import Call
from relaymd.bus.subjects import Binding
from relaymd.bus.tally import Tally


class Kind(StrEnum):
    REQUEST = "request"
    ANSWER = "answer"
    EVENT = "event"


@dataclass(frozen=True)
class Parcel:
    """What is on its way between two parties."""

    kind: Kind
    subject: str
    """Of an answer, the one of its request."""

    sender: str
    receiver: str
    """Empty: a request that nobody serves."""

    body: bytes


class Link(Protocol):
    """What lies between the parties: it may lose, delay, double and reorder."""

    def __call__(self, parcel: Parcel, deliver: Callable[[], None], /) -> None:
        """Call `deliver` now, later, more than once or never."""
        ...


def at_once(_parcel: Parcel, deliver: Callable[[], None]) -> None:
    """The Link of those who want none."""
    deliver()


@dataclass(frozen=True)
class Endpoint:
    """A binding that a party serves."""

    party: str
    binding: Binding
    inbox: asyncio.Queue[Call]
    tally: Tally = field(default_factory=Tally)


@dataclass(frozen=True)
class Listener:
    """A party that hears what is published under a pattern."""

    party: str
    hear: Callable[[str, bytes], None]


class Broker:
    """Where the buses of several parties meet."""

    def __init__(self, link: Link = at_once) -> None:
        self.link = link
        """May be exchanged at any time."""

        self._endpoints: dict[str, list[Endpoint]] = {}
        self._listeners: dict[str, list[Listener]] = {}

    def request(
        self, sender: str, subject: str, body: bytes, answered: Callable[[Reply | None], None]
    ) -> None:
        """Carry a request to whoever serves it. answered: gets None where nobody does."""
        served = self._served(subject)
        receiver = served.party if served else ""
        parcel = Parcel(Kind.REQUEST, subject, sender, receiver, body)
        self.link(parcel, lambda: self._arrive(parcel, answered))

    def publish(self, sender: str, subject: str, body: bytes) -> None:
        for pattern in _spellings(subject):
            for listener in self._listeners.get(pattern, ()):
                self._tell(listener, Parcel(Kind.EVENT, subject, sender, listener.party, body))

    def _tell(self, listener: Listener, parcel: Parcel) -> None:
        self.link(parcel, lambda: listener.hear(parcel.subject, parcel.body))

    def _arrive(self, parcel: Parcel, answered: Callable[[Reply | None], None]) -> None:
        served = self._served(parcel.subject)
        if served is None:
            self._answer(parcel, "", None, answered)
            return

        async def respond(reply: Reply) -> None:
            self._answer(parcel, served.party, reply, answered)

        call = Call(served.binding, parcel.subject, parcel.body, respond, served.tally)
        served.inbox.put_nowait(call)

    def _answer(
        self,
        request: Parcel,
        sender: str,
        reply: Reply | None,
        answered: Callable[[Reply | None], None],
    ) -> None:
        body = reply.body if reply else b""
        parcel = Parcel(Kind.ANSWER, request.subject, sender, request.sender, body)
        self.link(parcel, lambda: answered(reply))

    def _served(self, subject: str) -> Endpoint | None:
        for pattern in _spellings(subject):
            for endpoint in self._endpoints.get(pattern, ()):
                return endpoint
        return None

    def attach(self, endpoint: Endpoint) -> None:
        self._endpoints.setdefault(endpoint.binding.listen, []).append(endpoint)

    def detach(self, endpoint: Endpoint) -> None:
        remaining = self._endpoints[endpoint.binding.listen]
        remaining[:] = [other for other in remaining if other is not endpoint]

    def drop(self, party: str) -> None:
        """Forget a party that ended without a word: nobody serves or hears in its name."""
        for served in self._endpoints.values():
            served[:] = [endpoint for endpoint in served if endpoint.party != party]
        for heard in self._listeners.values():
            heard[:] = [listener for listener in heard if listener.party != party]

    def listen(self, pattern: str, listener: Listener) -> None:
        self._listeners.setdefault(pattern, []).append(listener)

    def unlisten(self, pattern: str, listener: Listener) -> None:
        remaining = self._listeners[pattern]
        remaining[:] = [other for other in remaining if other is not listener]


@lru_cache(maxsize=4096)
def _spellings(subject: str) -> tuple[str, ...]:
    """Every pattern with `*` for whole tokens that the subject matches, itself first."""
    spellings = [""]
    for token in subject.split("."):
        spellings = [f"{start}.{end}" for start in spellings for end in (token, "*")]
    return tuple(spelling[1:] for spelling in spellings)
