"""When a provider that fails is asked again: later each time, and at once after it succeeds.

closed ──(failure)──► open ──(time passes)──► one try ──(success)──► closed
                       ▲                         │
                       └────────(failure)────────┘
"""

import msgspec

from relaymd.core.ids import Monotonic

FIRST = 1.0
"""Seconds after the first failure; doubles with each further one."""

LONGEST = 300.0


class Breaker(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one kind of call to one provider."""

    failures: int = 0
    """In a row."""

    until: Monotonic = Monotonic(0.0)
    """It is left alone until then."""

    reason: str = ""
    """Of the latest failure."""

    def allows(self, now: Monotonic) -> bool:
        return self.failures == 0 or now >= self.until

    def failed(self, now: Monotonic, reason: str, *, retry_after: float | None = None) -> "Breaker":
        """retry_after: seconds that the provider asked for."""
        rest = min(FIRST * 2.0 ** min(self.failures, 20), LONGEST)
        wait = max(rest, retry_after or 0.0)
        return Breaker(failures=self.failures + 1, until=Monotonic(now + wait), reason=reason)

    def words(self, now: Monotonic) -> str:
        """Why nothing is asked now; empty: it may be."""
        if self.allows(now):
            return ""
        return f"{self.reason}; asked again in {self.until - now:.0f} s"


CLOSED = Breaker()
