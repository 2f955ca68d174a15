"""Ends a lease in place of its worker, and lets the job go on elsewhere if it may."""

import asyncio
from collections.abc import Callable

from relaymd.actors.ledger import Ledger
from relaymd.core.events import Failed, Interrupted
from relaymd.core.job import Job, JobState
from relaymd.core.outcome import AttemptEnd, Outcome
from relaymd.core.retry import follow


def interrupt(
    ledger: Ledger,
    job: Job,
    reason: str,
    *,
    jitter: Callable[[], float],
    charged: bool = True,
) -> asyncio.Future[Job]:
    """Record that the live lease is over though the job is not.

    charged: whether it counts against the job. What was never started never does.
    """
    assert job.lease is not None
    end = AttemptEnd(outcome=Outcome.INTERRUPTED, reason=reason)
    event: Interrupted | Failed
    if charged and job.state is not JobState.ASSIGNED:
        event = follow(job, end, now=ledger.wall(), jitter=jitter())
    else:
        event = Interrupted(epoch=job.lease.epoch, end=end, charged=False)
    return ledger.record(job.id, event)
