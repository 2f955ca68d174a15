"""One provider as the provisioner deals with it: within its time, and not again at once.

No provider is ever waited for by another: calls run beside the provisioner's turns, are given
up after `call_within`, and after a failure the provider is left alone for a while. So it is
after a defect of its own, which is no reason to leave the others unserved.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import msgspec
import structlog

from relaymd.actors.providers.provider import Provider, ProviderError
from relaymd.core.allocation import Allocation, Sighting
from relaymd.core.breaker import CLOSED, Breaker
from relaymd.core.ids import AllocationId, Monotonic
from relaymd.core.provisioning import Offer
from relaymd.core.restarts import RestartPolicy

log = structlog.get_logger(__name__)

T = TypeVar("T")

HEALTH = RestartPolicy(intensity=8, period=600.0, backoff=0.5)
"""How a provider is left alone after allocations that never became workers."""

GONE_AT_MOST = 60.0

MOST_WORDS = 300
"""Characters of an error that are shown."""

SILENT_AFTER = 60.0
"""Seconds without an answer after which what is on its way there is not waited for alone."""


class Ask(msgspec.Struct, frozen=True):
    """Ask for an allocation that is written down."""

    allocation: AllocationId


class TakeBack(msgspec.Struct, frozen=True):
    allocation: AllocationId


Order: TypeAlias = Ask | TakeBack


class Liaison:
    """clock: as the presence has it."""

    def __init__(self, provider: Provider, clock: Callable[[], Monotonic]) -> None:
        self.provider = provider
        self.cluster = provider.cluster
        self.manner = provider.capabilities()
        self.orders: deque[Order] = deque()
        """What is to be done, in order; the first is being done while `working`."""

        self.working = False
        self.looks = CLOSED
        self.asks = CLOSED
        self.seen_at: Monotonic | None = None
        """When it last answered a look."""

        self._offers: Sequence[Offer] = ()
        self._telling = CLOSED
        """How it does at saying what it offers, which needs nobody but itself."""

        self._asked_first: Monotonic | None = None
        self._looking = False
        self._looked: Monotonic | None = None
        self._losses: list[Monotonic] = []
        self._loss = ""
        self._clock = clock

    def is_look_due(self) -> bool:
        now = self._clock()
        waited = self._looked is None or now - self._looked >= self.manner.look_every
        return not self._looking and waited and self.looks.allows(now)

    def may_work(self) -> bool:
        return bool(self.orders) and not self.working and self.is_open()

    def is_open(self) -> bool:
        return self.asks.allows(self._clock())

    def is_ordered(self, allocation: AllocationId) -> bool:
        """Whether it is still to be asked for, or just being: then no look can tell of it."""
        return any(isinstance(each, Ask) and each.allocation == allocation for each in self.orders)

    def offers(self) -> Sequence[Offer]:
        """What it offers; what it last did while a defect keeps it from saying so."""
        if self._telling.allows(self._clock()):
            try:
                self._offers = tuple(self.provider.offers())
            except Exception as exc:  # noqa: BLE001 - a supervisor of this provider
                self._telling = self._failed(self._telling, self._defect(exc))
            else:
                self._telling = CLOSED
        return self._offers

    def is_silent(self) -> bool:
        """Whether it has not answered for so long that nothing of it can be counted on."""
        since = self.seen_at if self.seen_at is not None else self._asked_first
        return self.looks.failures > 0 and self._clock() - (since or 0.0) > SILENT_AFTER

    async def look(self, allocations: Collection[Allocation]) -> Mapping[AllocationId, Sighting]:
        """What it says of these; nothing where it cannot be asked."""
        self._looking, self._looked = True, self._clock()
        self._asked_first = self._asked_first or self._looked
        try:
            seen = await self._within(self.provider.observe(allocations))
        except ProviderError as exc:
            log.warning("provider.unknown", cluster=self.cluster, reason=str(exc))
            self.looks = self._failed(self.looks, exc)
            return {}
        finally:
            self._looking = False
        self.looks, self.seen_at = CLOSED, self._clock()
        return seen

    async def submit(self, allocation: Allocation) -> str:
        """Raises ProviderError."""
        try:
            external = await self._within(self.provider.submit(allocation))
        except ProviderError as exc:
            log.warning("provider.refused", cluster=self.cluster, reason=str(exc))
            self.asks = self._failed(self.asks, exc)
            raise
        self.asks = CLOSED
        return external

    async def cancel(self, allocation: Allocation) -> bool:
        """Whether it was done; if not, the next plan asks for it again."""
        try:
            await self._within(self.provider.cancel(allocation))
        except ProviderError as exc:
            log.warning("provider.kept", allocation=allocation.id, reason=str(exc))
            self.asks = self._failed(self.asks, exc)
            return False
        return True

    def lost(self, reason: str) -> None:
        """An allocation of it ended before there was a worker."""
        self._losses = [*HEALTH.recent(self._losses, now=self._clock()), self._clock()]
        self._loss = reason

    def found(self) -> None:
        """An allocation of it became a worker."""
        self._losses.clear()

    def closed(self) -> str:
        """Why nothing may be asked of it now; empty: it may."""
        now = self._clock()
        shut = self.asks.words(now) or self._telling.words(now)
        return shut or self._unseen(now) or self._ailing(now)

    def _unseen(self, now: Monotonic) -> str:
        """Who cannot be looked at is asked for nothing, until a look succeeds."""
        if not self.looks.failures:
            return ""
        return self.looks.words(now) or f"{self.looks.reason}; it is being asked again"

    def _ailing(self, now: Monotonic) -> str:
        losses = HEALTH.recent(self._losses, now=now)
        if not losses:
            return ""
        rest = min(HEALTH.delay(losses, now=now), GONE_AT_MOST) - (now - losses[-1])
        if rest <= 0:
            return ""
        ended = f"{len(losses)} of its allocations ended without a worker"
        return f"{ended}: {self._loss}; asked again in {rest:.0f} s"

    def _failed(self, breaker: Breaker, exc: ProviderError) -> Breaker:
        return breaker.failed(self._clock(), str(exc), retry_after=exc.retry_after)

    async def _within(self, call: Coroutine[Any, Any, T]) -> T:
        limit = self.manner.call_within
        try:
            async with asyncio.timeout(limit):
                return await call
        except TimeoutError:
            raise ProviderError(f"{self.cluster} did not answer within {limit:g} s") from None
        except ProviderError:
            raise
        except Exception as exc:
            raise self._defect(exc) from exc

    def _defect(self, exc: Exception) -> ProviderError:
        """An error of ours, as one of the provider: whether it did something is not known."""
        log.error("provider.defect", cluster=self.cluster, exc_info=exc)
        return ProviderError(f"a defect in RelayMD, {exc!r}"[:MOST_WORDS])
