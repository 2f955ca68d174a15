"""Ends a lease in place of its worker, so that the job may go on elsewhere; lets workers go."""

import asyncio
from collections.abc import Callable

import msgspec

from relaymd.actors.ledger import Ledger
from relaymd.actors.presence import Presence
from relaymd.core.events import Failed, Interrupted
from relaymd.core.ids import WorkerId
from relaymd.core.job import Job, JobState
from relaymd.core.outcome import AttemptEnd, Outcome
from relaymd.core.retry import follow
from relaymd.core.worker import Worker, WorkerDraining, WorkerEvent


def retire(ledger: Ledger, worker: Worker, reason: str) -> None:
    """Let a worker leave: it gets no more work, and gives back what it holds."""
    if not worker.leaving:
        leaving = msgspec.structs.replace(worker, leaving=True, leaving_because=reason)
        ledger.put_worker(leaving, WorkerDraining(reason=reason))


def strike(ledger: Ledger, presence: Presence, worker: WorkerId, event: WorkerEvent) -> None:
    """Strike a worker off the register, after its leases have ended.

    When it was heard is known until that is on disk: where it is undone, a worker that lives would
    be judged as if it had never said a word.
    """

    def forget(stored: asyncio.Future[None]) -> None:
        failed = stored.cancelled() or stored.exception() is not None
        if not failed and worker not in ledger.workers:
            presence.forget(worker)

    ledger.forget(worker, event).add_done_callback(forget)


def interrupt(
    ledger: Ledger,
    job: Job,
    reason: str,
    *,
    jitter: Callable[[], float],
    charged: bool = True,
    outcome: Outcome = Outcome.INTERRUPTED,
) -> asyncio.Future[Job]:
    """Record that the live lease is over though the job is not.

    charged: whether it counts against the job. What was never started never does.
    """
    assert job.lease is not None
    end = AttemptEnd(outcome=outcome, reason=reason)
    event: Interrupted | Failed
    if charged and job.state is not JobState.ASSIGNED:
        event = follow(job, end, now=ledger.wall(), jitter=jitter())
    else:
        event = Interrupted(epoch=job.lease.epoch, end=end, charged=False)
    return ledger.record(job.id, event)
