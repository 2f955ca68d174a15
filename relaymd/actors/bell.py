"""Tells whoever listens that something may have changed, without saying what."""

from collections.abc import Callable, Generator
from contextlib import contextmanager


class Bell:
    """Rung by the ledger, heard by actors: a reason to look, never a message."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[], None]] = []

    def ring(self) -> None:
        for listener in self._listeners:
            listener()

    @contextmanager
    def calls(self, listener: Callable[[], None]) -> Generator[None]:
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)
