"""How the time that is left is divided when a job has to be brought to a stop.

signal ──────► engine_until ──────► store_until ──────► the end
   the engine writes    the last cycle      the lease is given back
   and exits            uploads
"""

import msgspec

from relaymd.core.ids import Monotonic

HURRY_SECONDS = 5.0
"""What a second SIGTERM leaves of the time."""

GOODBYE_SECONDS = 5.0
"""Kept free before an allocation ends, for what comes after the lease is given back."""


class DrainPlan(msgspec.Struct, frozen=True, kw_only=True):
    engine_until: Monotonic
    """Until then the engine may write and exit; then its last files are taken as they are."""

    store_until: Monotonic
    """Until then the last cycle may upload; then the last committed generation stands."""


def window(*, now: Monotonic, longest: float, end: Monotonic | None) -> Monotonic:
    """When a drain that begins now must be over.

    longest: seconds, as configured. end: of the allocation, where it is known.
    """
    until = now + longest
    if end is not None:
        until = min(until, max(end - GOODBYE_SECONDS, now))
    return Monotonic(until)


def usable(notice: float) -> float:
    """Seconds of a drain that begins with the signal after which the kill comes in `notice`."""
    return max(notice - GOODBYE_SECONDS, notice / 2)


def plan(*, now: Monotonic, until: Monotonic, last_cycle: float | None) -> DrainPlan:
    """Divide what is left between the engine and the upload.

    last_cycle: seconds the latest cycle took; None: there was none, and a third is kept for it.
    However quick it was, an eighth is kept: an engine that goes on writing may have to be read
    several times, and the store be asked twice.
    """
    left = max(until - now, 0.0)
    reserve = left / 3
    if last_cycle is not None:
        reserve = min(max(2 * last_cycle, left / 8) + 1.0, left / 2)
    return DrainPlan(engine_until=Monotonic(until - reserve), store_until=until)


def planned_handoff(*, now: Monotonic, end: Monotonic, longest: float) -> Monotonic:
    """When to begin to drain although nobody asked, so that it is over before `end`.

    Never more than a quarter of what is left is given up, so that a short allocation works too.
    """
    margin = min(longest + 2 * GOODBYE_SECONDS, max(end - now, 0.0) / 4)
    return Monotonic(end - margin)
