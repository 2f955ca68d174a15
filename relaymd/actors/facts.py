"""Spells facts as the rows of the ledger, which are the messages that the stream will carry."""

from typing import Any

import msgspec

from relaymd.actors.disk import EventRow
from relaymd.bus import contract
from relaymd.bus.facts import JobChanged, ProviderChanged, WorkerChanged
from relaymd.core.allocation import Allocation
from relaymd.core.events import JobEvent
from relaymd.core.ids import UnixTime, WorkerId
from relaymd.core.job import Job
from relaymd.core.worker import WorkerEvent

_encode = msgspec.json.Encoder().encode


def job_changed(seq: int, at: UnixTime, job: Job, event: JobEvent) -> EventRow:
    """job: as it is after the event."""
    kind = _kind(event)
    fact = JobChanged(seq=seq, at=at, job=job.id, kind=kind, state=job.state, event=event)
    lease = job.lease
    return EventRow(
        seq=seq,
        subject=contract.JOB_CHANGED.of(fact),
        kind=kind,
        at=at,
        body=_encode(fact),
        job=job.id,
        worker=lease.worker if lease else None,
        epoch=getattr(event, "epoch", lease.epoch if lease else None),
    )


def worker_changed(seq: int, at: UnixTime, worker: WorkerId, event: WorkerEvent) -> EventRow:
    kind = _kind(event)
    fact = WorkerChanged(seq=seq, at=at, worker=worker, kind=kind, event=event)
    subject = contract.WORKER_CHANGED.of(fact)
    return EventRow(seq=seq, subject=subject, kind=kind, at=at, body=_encode(fact), worker=worker)


def provider_changed(
    seq: int, at: UnixTime, allocation: Allocation, kind: str, reason: str
) -> EventRow:
    fact = ProviderChanged(
        seq=seq,
        at=at,
        cluster=allocation.cluster,
        kind=kind,
        allocation=allocation.id,
        reason=reason,
    )
    subject = contract.PROVIDER_CHANGED.of(fact)
    return EventRow(seq=seq, subject=subject, kind=kind, at=at, body=_encode(fact))


def cluster_changed(seq: int, at: UnixTime, cluster: str, kind: str, reason: str) -> EventRow:
    """About the cluster itself and none of its allocations."""
    fact = ProviderChanged(seq=seq, at=at, cluster=cluster, kind=kind, reason=reason)
    subject = contract.PROVIDER_CHANGED.of(fact)
    return EventRow(seq=seq, subject=subject, kind=kind, at=at, body=_encode(fact))


def _kind(event: Any) -> str:
    """The tag that the event carries on the wire."""
    return str(event.__struct_config__.tag)
