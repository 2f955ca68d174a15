"""Processes of the simulation: what runs in one's context lives, sleeps and dies with it.

A process can be frozen, like by SIGSTOP: its turns wait, its timers fire when it goes on. It can
be killed, like by SIGKILL: it never gets another turn, and no `finally` of it ever runs.
"""

import inspect
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from contextvars import Context, ContextVar
from types import CoroutineType
from typing import Any


class Turn:
    """A callback that waits for its turn: what asyncio needs of a handle, and no more."""

    __slots__ = ("arguments", "callback", "context", "dropped", "moment")

    def __init__(
        self,
        callback: Callable[..., object],
        arguments: tuple[Any, ...],
        context: Context,
        moment: float = 0.0,
    ) -> None:
        self.callback = callback
        self.arguments = arguments
        self.context = context
        self.moment = moment
        self.dropped = False

    def cancel(self) -> None:
        self.dropped = True
        self.callback = _nothing
        self.arguments = ()

    def cancelled(self) -> bool:
        return self.dropped

    def when(self) -> float:
        return self.moment


class Process:
    def __init__(self, name: str) -> None:
        self.name = name
        self.context = Context()
        self.turns = 0
        self.alive = True
        self.frozen = False
        self.held: deque[Turn] = deque()
        self.doomed_at = -1
        """The turn at which it is killed; -1: none."""

        self.on_death: list[Callable[[], None]] = []
        """What the world does when it dies: its connections close, its engines are killed."""

    def __repr__(self) -> str:
        return self.name

    def may_run(self, turn: Turn) -> bool:
        """Whether it takes this turn now; a frozen one takes it later."""
        if not self.alive:
            return False
        if self.frozen:
            self.held.append(turn)
            return False
        self.turns += 1
        if self.turns == self.doomed_at:
            self.kill()
            return False
        return True

    def kill(self) -> None:
        if self.alive:
            self.alive = False
            self.held.clear()
            for hook in self.on_death:
                hook()


PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)
WORLD = Context()
"""The context of what belongs to no process: the network, the disks, the hand of fate."""


@contextmanager
def buried(coroutines: Iterable[Any]) -> Generator[None]:
    """End what is left of the dead without a word: the run is over."""
    heard = sys.unraisablehook
    sys.unraisablehook = lambda _: None  # the dead protest: their `finally` blocks may await
    try:
        for coroutine in coroutines:
            _close(coroutine)
        yield
    finally:
        sys.unraisablehook = heard


def _close(coroutine: "CoroutineType[Any, Any, Any]") -> None:
    frame = coroutine.cr_frame
    if frame is not None and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
        # It was to await those that it was given; now nobody does, and they must not complain.
        for value in [*frame.f_locals.values()]:
            if inspect.iscoroutine(value):
                _close(value)
    for _ in range(50):
        try:
            coroutine.close()
        except BaseException:  # noqa: BLE001 - the dead may say what they like, nobody listens
            continue
        return


def _nothing() -> None:
    """In place of what was cancelled."""
