"""Nodes on which job after job fails are left alone for a while; a job that fails everywhere is not
their fault.

What speaks against a node are its *strikes*: attempts that ended as `node_unfit`, or as
`engine_failed` before one checkpoint. A lease that began after them and came to a checkpoint, or
to the job's end, wipes them out. All else is derived, so that nothing has to be undone: once a
job has failed everywhere, its strikes count nowhere.

    2 jobs that found it unfit ─┐
                                ├──► quarantine: 1 min, 2 min, 4 min … 1 h ──► on probation
    3 jobs that failed there,  ─┘                       ▲                          │
    while another node is clean                         └──── one more strike ─────┘
"""

from collections.abc import Collection, Iterable, Mapping

import msgspec

from relaymd.core.events import Checkpointed, Completed, Failed, Interrupted, JobEvent
from relaymd.core.ids import JobId, UnixTime
from relaymd.core.job import Job, has_advanced
from relaymd.core.outcome import Outcome

UNFIT_JOBS = 2
"""Jobs that find a node unfit, one after another, until it is believed."""

FAILED_JOBS = 3
"""Jobs that fail on a node, one after another, while other nodes run theirs."""

EVERYWHERE = 3
"""Nodes on which a job has failed that is itself to blame; fewer where there are no more."""

FIRST = 60.0
LONGEST = 3600.0
"""Seconds of the first quarantine, and of the longest; each is twice the one before."""

REMEMBERED = 86_400.0
"""Seconds after which a strike is forgotten."""

MOST = 32
"""Strikes of one node that are kept."""


class Strike(msgspec.Struct, frozen=True, kw_only=True):
    at: UnixTime
    job: JobId
    outcome: Outcome
    reason: str


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A node with something against it; one without has no record."""

    id: str
    strikes: tuple[Strike, ...]
    """Oldest first."""


class Quarantine(msgspec.Struct, frozen=True, kw_only=True):
    until: UnixTime
    reason: str


def note(node: Node | None, id: str, job: Job, event: JobEvent, *, at: UnixTime) -> Node | None:
    """The node's record after the event; None: nothing is against it.

    job: as it was before the event, with the lease that the node's worker had.
    """
    match event:
        case Checkpointed() | Completed():
            began = job.lease.granted_at if job.lease else at
            return None if node is None or began > node.strikes[-1].at else node
        case Interrupted(end=end) | Failed(end=end) if _counts(end.outcome, job):
            strike = Strike(at=at, job=job.id, outcome=end.outcome, reason=end.reason)
            kept = [one for one in (node.strikes if node else ()) if at - one.at < REMEMBERED]
            return Node(id=id, strikes=(*kept, strike)[-MOST:])
        case _:
            return node


def quarantine(
    id: str, nodes: Mapping[str, Node], present: Collection[str], *, now: UnixTime
) -> Quarantine | None:
    """Whether the node gets no work just now, until when, and why.

    nodes: all that have a record. present: all nodes that have a worker now.
    """
    if id not in nodes:
        return None
    strikes = _unexcused(id, nodes, present, now)
    others_work = any(
        other != id and not _unexcused(other, nodes, present, now) for other in present
    )
    until, length = UnixTime(0.0), FIRST
    for count, strike in enumerate(strikes, start=1):
        if _is_enough(strikes[:count], others_work=others_work) and strike.at >= until:
            until = UnixTime(strike.at + length)
            length = min(2 * length, LONGEST)
    if until <= now:
        return None
    jobs = len({strike.job for strike in strikes})
    return Quarantine(until=until, reason=f"{jobs} jobs ended badly there: {strikes[-1].reason}")


def hosts_in_quarantine(
    cluster: str, nodes: Mapping[str, Node], present: Collection[str], *, now: UnixTime
) -> tuple[str, ...]:
    """The machines of a cluster that get no work just now, as their workers called them."""
    here = f"{cluster}/"
    ours = sorted(id for id in nodes if id.startswith(here))
    return tuple(id.removeprefix(here) for id in ours if quarantine(id, nodes, present, now=now))


def _counts(outcome: Outcome, job: Job) -> bool:
    if outcome is Outcome.NODE_UNFIT:
        return True
    return outcome is Outcome.ENGINE_FAILED and not has_advanced(job)


def _is_enough(strikes: Collection[Strike], *, others_work: bool) -> bool:
    unfit = {strike.job for strike in strikes if strike.outcome is Outcome.NODE_UNFIT}
    failed = {strike.job for strike in strikes}
    return len(unfit) >= UNFIT_JOBS or (others_work and len(failed) >= FAILED_JOBS)


def _unexcused(
    id: str, nodes: Mapping[str, Node], present: Collection[str], now: UnixTime
) -> list[Strike]:
    """The node's strikes that are still remembered and whose jobs do not fail everywhere."""
    node = nodes.get(id)
    return [
        strike
        for strike in (node.strikes if node else ())
        if now - strike.at < REMEMBERED
        and not _fails_everywhere(strike.job, nodes.values(), present)
    ]


def _fails_everywhere(job: JobId, nodes: Iterable[Node], present: Collection[str]) -> bool:
    places = {node.id for node in nodes if any(strike.job == job for strike in node.strikes)}
    return len(places) >= EVERYWHERE or (len(places) > 1 and places.issuperset(present))
