"""What follows the end of an attempt: another one, after a while, or the end of the job."""

from collections.abc import Mapping

import msgspec

from relaymd.core.events import Failed, HandedOff, Interrupted
from relaymd.core.ids import UnixTime
from relaymd.core.job import Job, has_advanced
from relaymd.core.outcome import AttemptEnd, Outcome


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """How often one kind of end is forgiven, and how long to wait in between."""

    attempts: int
    """Attempts that may end so without a new checkpoint in between; the last is final."""

    backoff: float = 0.0
    """Seconds before the second attempt; doubles with each further one."""

    longest: float = 300.0
    """Seconds the backoff never exceeds."""

    exhausted_as: Outcome | None = None
    """The outcome of the job when the budget is spent, where it differs from the attempt's."""


BUDGETS: Mapping[Outcome, Budget] = {
    Outcome.ENGINE_FAILED: Budget(attempts=3, backoff=5.0),
    Outcome.INTERRUPTED: Budget(attempts=10, exhausted_as=Outcome.NO_PROGRESS),
    Outcome.NODE_UNFIT: Budget(attempts=20, backoff=1.0),
    Outcome.BUNDLE_INVALID: Budget(attempts=1),
    Outcome.STORAGE_UNAVAILABLE: Budget(attempts=50, backoff=2.0),
}


def follow_handoff(
    job: Job, reason: str, *, budgets: Mapping[Outcome, Budget] = BUDGETS
) -> HandedOff | Failed:
    """The event that a handoff causes: the end of the job where none of them brings it forward."""
    assert job.lease is not None
    if not has_advanced(job):
        end = AttemptEnd(outcome=Outcome.INTERRUPTED, reason=reason)
        following = follow(job, end, now=UnixTime(0.0), jitter=0.0, budgets=budgets)
        if isinstance(following, Failed):
            return following
    return HandedOff(epoch=job.lease.epoch, reason=reason)


def follow(
    job: Job,
    end: AttemptEnd,
    *,
    now: UnixTime,
    jitter: float,
    budgets: Mapping[Outcome, Budget] = BUDGETS,
) -> Interrupted | Failed:
    """The event that an attempt's end causes. The job must hold a lease.

    jitter: 0 to 1, stretches the backoff by up to a half, so that jobs that failed together
    do not come back together.
    """
    assert job.lease is not None
    epoch = job.lease.epoch
    budget = budgets.get(end.outcome, Budget(attempts=1))
    spent = job.charges.get(end.outcome, 0) + 1
    if spent >= budget.attempts:
        return Failed(epoch=epoch, end=_final(end, budget, spent))
    wait = min(budget.backoff * 2.0 ** (spent - 1), budget.longest) * (1.0 + jitter / 2.0)
    return Interrupted(epoch=epoch, end=end, not_before=UnixTime(now + wait))


def _final(end: AttemptEnd, budget: Budget, spent: int) -> AttemptEnd:
    if budget.attempts == 1:
        return end
    outcome = budget.exhausted_as or end.outcome
    reason = f"{end.reason} ({spent} attempts without a new checkpoint)"
    return msgspec.structs.replace(end, outcome=outcome, reason=reason)
