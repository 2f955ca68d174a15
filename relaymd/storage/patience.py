"""How long to go on asking a store that does not answer."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from relaymd.storage.store import StorageUnreachableError

T = TypeVar("T")

Heard = Callable[[StorageUnreachableError], None]


@dataclass(frozen=True, kw_only=True)
class Patience:
    """Times are in seconds of the running loop's clock."""

    within: float
    """No new attempt begins later than this after the first."""

    jitter: Callable[[], float]
    """Between 0 and 1, so that many workers do not come back at the same moment."""

    first: float = 0.5
    longest: float = 30.0

    def pause(self, attempt: int) -> float:
        """How long to wait after this many attempts have failed."""
        full = min(self.longest, self.first * 2.0 ** min(attempt - 1, 30))
        return full * (0.5 + 0.5 * self.jitter())


async def retrying(
    work: Callable[[], Awaitable[T]], patience: Patience, *, heard: Heard | None = None
) -> T:
    """Await the work until it is done, or raise its last error when patience ends.

    Only StorageUnreachableError is worth another attempt; every other error is raised at once.
    heard: told of each error that is followed by another attempt.
    """
    clock = asyncio.get_running_loop().time
    end = clock() + patience.within
    attempt = 0
    while True:
        attempt += 1
        try:
            return await work()
        except StorageUnreachableError as exc:
            left = end - clock()
            if left <= 0:
                raise
            if heard is not None:
                heard(exc)
        await asyncio.sleep(min(patience.pause(attempt), left))
