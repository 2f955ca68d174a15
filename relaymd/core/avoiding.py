"""Nodes that a job avoids because it ended badly there: a preference, never a wait without end.

What speaks against a node for every job is weighed in `quarantine`, out of the same strikes. Here
one strike is enough, and it counts for the job that it is about.
"""

from collections.abc import Iterable, Mapping

import msgspec

from relaymd.core.ids import JobId, UnixTime
from relaymd.core.quarantine import REMEMBERED, Node
from relaymd.core.resources import Requirements, Seat, misfit
from relaymd.core.wide import joined

PATIENCE = 300.0
"""Seconds after its latest bad end for which a job waits for a busy seat elsewhere, rather than
take an idle one where it ended so."""


class Avoided(msgspec.Struct, frozen=True, kw_only=True):
    """Of one job, as of now."""

    nodes: frozenset[str]
    """Where it ended badly."""

    patience: float
    """Seconds that are left of it."""


def avoided(nodes: Iterable[Node], *, now: UnixTime) -> Mapping[JobId, Avoided]:
    """What each job avoids that ended badly anywhere. nodes: all that have a record."""
    found: dict[JobId, Avoided] = {}
    for node in nodes:
        for strike in node.strikes:
            if now - strike.at < REMEMBERED:
                left = _patience(now - strike.at)
                known = found.get(strike.job, Avoided(nodes=frozenset(), patience=left))
                found[strike.job] = Avoided(
                    nodes=known.nodes | {node.id}, patience=max(known.patience, left)
                )
    return found


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


def _patience(passed: float) -> float:
    """None after an end in what is the future now, for the clock was set back."""
    return max(PATIENCE - passed, 0.0) if passed >= 0 else 0.0
