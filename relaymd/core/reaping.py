"""Which workers are dead, suspect or alive, and what becomes of the leases of the dead.

Three values, never two: unknown is not dead. A failed `squeue` proves nothing, a lost
connection is a reason to look, and only silence for longer than a lease lives, a closed
connection that stays closed, or a provider's word that the process is gone, is death.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TypeAlias

import msgspec

from relaymd.core.allocation import Sighting, Whereabouts
from relaymd.core.ids import Epoch, JobId, Monotonic, WorkerId
from relaymd.core.job import Job, JobState
from relaymd.core.outcome import Outcome


class Evidence(StrEnum):
    """What the provider says of a worker's allocation."""

    ALIVE = "alive"
    UNKNOWN = "unknown"
    GONE = "gone"


def evidence(sighting: Sighting) -> Evidence:
    """What a sighting proves about the worker.

    Pending proves nothing: a cluster that puts a job back into its queue says so late.
    """
    match sighting.where:
        case Whereabouts.RUNNING:
            return Evidence.ALIVE
        case Whereabouts.GONE:
            return Evidence.GONE
        case Whereabouts.PENDING | Whereabouts.UNKNOWN:
            return Evidence.UNKNOWN


class Verdict(StrEnum):
    ALIVE = "alive"
    SUSPECT = "suspect"
    DEAD = "dead"


class LivenessPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """All in seconds."""

    heartbeat_every: float = 5.0
    time_to_live: float = 20.0
    """A lease lives this long after the last word of its worker."""

    margin: float = 5.0
    """What is waited beyond, so that a worker stops before its successor starts."""

    disconnect_grace: float = 3.0
    """How long a worker whose connection closed may take to come back."""

    hang_up_grace: float = 1.0
    """The same where its own end closed the connection; then a probe must find nobody.

    A worker that lives is back within half a second: it tries again after 0.1 to 0.4 s.
    """

    confirm_within: float = 10.0
    """How long an assignment may wait for its worker's `start`."""


class Vital(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one worker's life."""

    worker: WorkerId
    heard: Monotonic
    """When it last said anything; our own start, if it has not since."""

    disconnected: Monotonic | None = None
    """When its connection closed, if nothing was heard since."""

    hung_up: bool = False
    """Whether it was its own end that closed it, as a killed process does."""

    missed: Monotonic | None = None
    """When a probe was last sent that found nobody, if nothing was heard since."""

    evidence: Evidence = Evidence.UNKNOWN
    ended: str = ""
    """gone: how its allocation ended, as the provider says."""

    outcome: Outcome = Outcome.INTERRUPTED
    """gone: what that means for the jobs that it ran."""


class Probe(msgspec.Struct, frozen=True):
    """Ask the worker whether it is there."""

    worker: WorkerId


class Revoke(msgspec.Struct, frozen=True):
    """End this lease, whose worker is dead or never confirmed it."""

    job: JobId
    epoch: Epoch
    reason: str
    charged: bool = True
    outcome: Outcome = Outcome.INTERRUPTED


class Forget(msgspec.Struct, frozen=True):
    """Strike the worker off the register, after its leases have ended."""

    worker: WorkerId
    reason: str


ReapCommand: TypeAlias = Probe | Revoke | Forget


def judge(vital: Vital, *, now: Monotonic, policy: LivenessPolicy) -> tuple[Verdict, str]:
    """The verdict on one worker, and its reason in words."""
    silent = now - vital.heard
    if vital.evidence is Evidence.GONE:
        return Verdict.DEAD, vital.ended or "its process is gone"
    if silent > policy.time_to_live + policy.margin:
        return Verdict.DEAD, f"silent for {silent:.0f} s"
    if vital.disconnected is not None:
        away = now - vital.disconnected
        if away > policy.disconnect_grace:
            return Verdict.DEAD, f"its connection closed and stayed closed for {away:.1f} s"
        if _has_hung_up(vital, vital.disconnected, policy):
            return Verdict.DEAD, f"it hung up and was not there after {away:.1f} s"
        return Verdict.SUSPECT, "its connection closed"
    if silent > 2.5 * policy.heartbeat_every:
        return Verdict.SUSPECT, f"silent for {silent:.0f} s"
    return Verdict.ALIVE, "heard"


def _has_hung_up(vital: Vital, since: Monotonic, policy: LivenessPolicy) -> bool:
    """Whether it closed its connection, and had the time to come back, and was not there."""
    missed = vital.missed
    return vital.hung_up and missed is not None and missed - since > policy.hang_up_grace


def reap(
    vitals: Iterable[Vital],
    leased: Iterable[Job],
    *,
    assigned: Mapping[tuple[JobId, Epoch], Monotonic],
    now: Monotonic,
    policy: LivenessPolicy,
) -> list[ReapCommand]:
    """Decide over all registered workers and all jobs that hold a lease.

    assigned: since when each lease is known to wait for its `start`; what is not in it is new.

    Revocations come before the forgetting: dying between the two is repaired by the next
    sweep. A lease whose worker is not registered is revoked as well.
    """
    vitals = [*vitals]
    verdicts = {vital.worker: judge(vital, now=now, policy=policy) for vital in vitals}
    probes = [Probe(id) for id, (verdict, _) in verdicts.items() if verdict is Verdict.SUSPECT]
    dead = {id: reason for id, (verdict, reason) in verdicts.items() if verdict is Verdict.DEAD}
    outcomes = {vital.worker: vital.outcome for vital in vitals}
    revocations = [
        revocation
        for job in leased
        if (
            revocation := _revocation(
                job, verdicts, dead, outcomes, now - assigned.get(_key(job), now), policy
            )
        )
        is not None
    ]
    return [*probes, *revocations, *(Forget(id, dead[id]) for id in sorted(dead))]


def _revocation(
    job: Job,
    known: Mapping[WorkerId, object],
    dead: Mapping[WorkerId, str],
    outcomes: Mapping[WorkerId, Outcome],
    unconfirmed: float,
    policy: LivenessPolicy,
) -> Revoke | None:
    lease = job.lease
    if lease is None:
        return None
    if lease.worker in dead:
        reason = f"worker {lease.worker} was lost: {dead[lease.worker]}"
        return Revoke(job.id, lease.epoch, reason, outcome=outcomes[lease.worker])
    if lease.worker not in known:
        return Revoke(job.id, lease.epoch, f"worker {lease.worker} is not registered")
    if job.state is JobState.ASSIGNED and unconfirmed > policy.confirm_within:
        reason = f"worker {lease.worker} did not confirm its lease"
        return Revoke(job.id, lease.epoch, reason, charged=False)
    return None


def _key(job: Job) -> tuple[JobId, Epoch]:
    return (job.id, job.epoch)
