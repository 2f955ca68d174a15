"""How long to wait before trying again: longer each time, and never all at once."""

import asyncio
from random import Random


class Backoff:
    """Doubles from `first` to `longest` seconds, each wait drawn from its upper half."""

    def __init__(self, rng: Random, first: float, longest: float) -> None:
        self._rng = rng
        self._first = first
        self._longest = longest
        self._next = first

    def reset(self) -> None:
        self._next = self._first

    async def pause(self) -> None:
        await asyncio.sleep(self._next * (0.5 + self._rng.random() / 2))
        self._next = min(self._next * 2, self._longest)
