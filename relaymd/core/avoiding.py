"""Nodes that a job avoids because it ended badly there: a preference, never a wait without end.

What speaks against a node for every job is weighed in `quarantine`, out of the same strikes. Here
one strike is enough, and it counts for the job that it is about.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from relaymd.core.ids import JobId, UnixTime
from relaymd.core.outcome import Outcome
from relaymd.core.quarantine import REMEMBERED, Node, Strike
from relaymd.core.resources import Requirements, Seat, misfit
from relaymd.core.wide import joined

PATIENCE = 300.0
"""Seconds after its latest bad end for which a job waits for a busy seat elsewhere, rather than
take an idle one where it ended so."""

CHANCE = 1
"""Failures of a job's engine that may be chance: it is tried again at once, elsewhere if a seat is
idle there. From the next on it waits, for its budget is almost spent, and the node may be to
blame. A node that was found unfit is waited for from the first time."""


class Avoided(msgspec.Struct, frozen=True, kw_only=True):
    """Of one job, as of now."""

    nodes: frozenset[str]
    """Where it ended badly."""

    patience: float
    """Seconds that are left of it."""


def avoided(
    nodes: Iterable[Node], jobs: Collection[JobId], *, now: UnixTime
) -> Mapping[JobId, Avoided]:
    """What those of the jobs avoid that ended badly anywhere. nodes: all that have a record."""
    ends: dict[JobId, list[tuple[str, Strike]]] = {}
    for node in nodes:
        for strike in node.strikes:
            if strike.job in jobs and now - strike.at < REMEMBERED:
                ends.setdefault(strike.job, []).append((node.id, strike))
    return {job: _avoided(known, now) for job, known in ends.items()}


def waits(need: Requirements, avoid: Avoided, seats: Iterable[Seat]) -> bool:
    """Whether a job for which no seat elsewhere is idle waits for one. seats: idle or not."""
    if not avoid.patience:
        return False
    others = [seat for seat in seats if seat.node not in avoid.nodes]
    return any(misfit(need, seat) is None for seat in others) or joined(need, others) is not None


def why_it_waits(
    need: Requirements, avoid: Avoided, seats: Iterable[Seat], idle: Iterable[Seat]
) -> str | None:
    """In one sentence, where a job waits though a seat is idle that it fits; else None."""
    fitting = {seat.node for seat in idle if misfit(need, seat) is None}
    if not fitting or fitting - avoid.nodes or not waits(need, avoid, seats):
        return None
    where = ", ".join(sorted(fitting))
    return f"it ended badly on {where}; it waits {avoid.patience:.0f} s at most for another node"


def _avoided(ends: Sequence[tuple[str, Strike]], now: UnixTime) -> Avoided:
    strikes = [strike for _, strike in ends]
    unfit = any(strike.outcome is Outcome.NODE_UNFIT for strike in strikes)
    left = max(_patience(now - strike.at) for strike in strikes)
    return Avoided(
        nodes=frozenset(node for node, _ in ends),
        patience=left if unfit or len(strikes) > CHANCE else 0.0,
    )


def _patience(passed: float) -> float:
    """None after an end in what is the future now, for the clock was set back."""
    return max(PATIENCE - passed, 0.0) if passed >= 0 else 0.0
