"""How fast Salad may be asked: a steady pace, and pauses when it wants some."""

import asyncio
import math
from collections.abc import Callable

from relaymd.actors.providers.provider import ProviderError

BURST = 20
PER_SECOND = 3.0
"""Salad allows an API key 240 requests a minute; a part of them is left to the key's owner."""

SHORT = 5.0
"""Seconds; a pause that is longer is not waited for, but told."""

FIRST, LONGEST = 0.5, 60.0
"""Seconds of the longest pause after one failure, and after many."""

WANTED_AT_MOST = 600.0
"""Seconds of a pause that Salad may want."""


class Pace:
    def __init__(self, rng: Callable[[], float]) -> None:
        """rng: gives numbers between 0 and 1, so that many who failed at once do not return so."""
        self._rng = rng
        self._due = -math.inf
        """When the next request would go, were there no bursts."""

        self._not_before = 0.0
        self._failures = 0
        self._because = ""

    @property
    def rest(self) -> float:
        """Seconds of the pause that are left."""
        return max(self._not_before - _now(), 0.0)

    async def turn(self) -> None:
        """Wait until one more request may go. Raises ProviderError where that takes long."""
        while (pause := self.rest) > 0:
            if pause > SHORT:
                text = f"{self._because}; it is left alone for {pause:.0f} s more"
                raise ProviderError(text, retry_after=pause)
            await asyncio.sleep(pause)
        now = _now()
        at = max(self._due, now - (BURST - 1) / PER_SECOND)
        self._due = at + 1 / PER_SECOND
        await asyncio.sleep(max(at - now, 0.0))

    def fine(self) -> None:
        self._failures = 0

    def failed(self, because: str, retry_after: float | None = None) -> ProviderError:
        """Note a failure. retry_after: seconds of the pause that Salad wants, if it said."""
        self._because = because
        if retry_after is None:
            pause = min(FIRST * 2.0**self._failures, LONGEST) * self._rng()
        else:
            pause = min(retry_after, WANTED_AT_MOST)
        self._failures = min(self._failures + 1, 16)
        self._not_before = max(self._not_before, _now() + pause)
        return ProviderError(because, retry_after=pause)


def _now() -> float:
    return asyncio.get_running_loop().time()
