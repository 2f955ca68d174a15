"""How often an actor may crash before the process gives up."""

from collections.abc import Sequence

import msgspec

from relaymd.core.ids import Monotonic


class RestartPolicy(msgspec.Struct, frozen=True, kw_only=True):
    intensity: int = 5
    """Crashes tolerated within one period."""

    period: float = 60.0
    """Seconds."""

    backoff: float = 0.25
    """Seconds before the first restart; doubles with each crash of the period."""

    def allows(self, crashes: Sequence[Monotonic], *, now: Monotonic) -> bool:
        return len(self.recent(crashes, now=now)) <= self.intensity

    def delay(self, crashes: Sequence[Monotonic], *, now: Monotonic) -> float:
        """Seconds to wait after the latest crash."""
        recent = len(self.recent(crashes, now=now))
        return min(self.backoff * 2.0 ** max(recent - 1, 0), self.period / self.intensity)

    def recent(self, crashes: Sequence[Monotonic], *, now: Monotonic) -> list[Monotonic]:
        return [crash for crash in crashes if now - crash <= self.period]
