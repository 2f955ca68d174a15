"""The two kinds of conversation, each tying a subject to the types spoken on it."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

import msgspec

from relaymd.core.ids import TOKEN

Msg = TypeVar("Msg", bound=msgspec.Struct)
Req = TypeVar("Req", bound=msgspec.Struct)
Rep = TypeVar("Rep", bound=msgspec.Struct)

HOLE = re.compile(r"{(\w+)}")


def _token(text: str) -> str:
    if not TOKEN.fullmatch(text):
        raise ValueError(f"{text!r} cannot be part of a subject")
    return text


@dataclass(frozen=True)
class Subject(Generic[Msg]):
    """A NATS subject whose `{holes}` are fields of the message it carries."""

    template: str
    carries: type[Msg]

    def __post_init__(self) -> None:
        fields = {field.name for field in msgspec.structs.fields(self.carries)}
        if unknown := {*HOLE.findall(self.template)} - fields:
            raise TypeError(f"{self.template}: {self.carries.__name__} has no {unknown}")

    @property
    def pattern(self) -> str:
        """What a subscriber listens to who wants all of them."""
        return HOLE.sub("*", self.template)

    def at(self, **holes: str) -> str:
        """What a subscriber listens to who wants those of one job, one worker.

        Raises ValueError for an unfit identifier, which could widen what is listened to.
        """
        return HOLE.sub(
            lambda hole: _token(holes[hole[1]]) if hole[1] in holes else "*", self.template
        )

    def of(self, message: Msg) -> str:
        """The subject this very message travels on. Raises ValueError for an unfit identifier."""

        words = [*self._words]
        for place in range(1, len(words), 2):
            words[place] = _token(str(getattr(message, words[place])))
        return "".join(words)

    @cached_property
    def _words(self) -> tuple[str, ...]:
        """What stands between the holes, and at every second place the name of one."""
        return tuple(HOLE.split(self.template))


@dataclass(frozen=True)
class Request(Subject[Req], Generic[Req, Rep]):
    """A question with exactly one answer, due within a time."""

    answers: type[Rep]
    within: float = 5.0
    """Seconds the asker waits, unless the call says otherwise."""

    def answered_by(
        self, handler: Callable[[Req], Rep | asyncio.Future[Rep]], **holes: str
    ) -> "Binding":
        """Serve it: all of it, or with holes filled, one party's share of it."""
        return Binding(self, self.at(**holes), handler)


@dataclass(frozen=True)
class Event(Subject[Msg]):
    """A fact or a line of output, published to whoever listens."""


@dataclass(frozen=True)
class Binding:
    """A subject and its handler. Built by `answered_by`, where the types meet.

    A handler does not await: it takes its turn, and returns the answer, or a future that
    becomes the answer when what it promises is on disk or the awaited work is there.
    """

    subject: Request[Any, Any]
    listen: str
    handler: Callable[[Any], Any]
