"""What follows the end of an attempt."""

import msgspec
import pytest

from relaymd.core.events import Checkpointed, Failed, HandedOff, Interrupted
from relaymd.core.ids import Epoch, UnixTime
from relaymd.core.job import Job, JobState, apply
from relaymd.core.outcome import AttemptEnd, Outcome
from relaymd.core.retry import BUDGETS, Budget, follow, follow_handoff
from tests.core.jobs import EPOCH, NOW, checkpoint, event_of, job_in


def running(**charges: int) -> Job:
    spent = {Outcome(name): count for name, count in charges.items()}
    return msgspec.structs.replace(job_in(JobState.RUNNING), charges=spent)


def end(outcome: Outcome) -> AttemptEnd:
    return AttemptEnd(outcome=outcome, reason="because")


def test_every_way_to_end_that_a_worker_may_report_has_a_budget() -> None:
    not_reported = {Outcome.COMPLETED, Outcome.CANCELLED, Outcome.NO_PROGRESS}
    assert {*BUDGETS} == {*Outcome} - not_reported


@pytest.mark.parametrize("outcome", BUDGETS)
def test_the_last_attempt_of_a_budget_ends_the_job(outcome: Outcome) -> None:
    attempts = BUDGETS[outcome].attempts
    last = follow(running(**{outcome: attempts - 1}), end(outcome), now=NOW, jitter=0.0)
    assert isinstance(last, Failed)
    if attempts > 1:
        before = follow(running(**{outcome: attempts - 2}), end(outcome), now=NOW, jitter=0.0)
        assert isinstance(before, Interrupted)


def test_an_invalid_bundle_ends_the_job_at_once_in_its_own_words() -> None:
    assert follow(running(), end(Outcome.BUNDLE_INVALID), now=NOW, jitter=0.0) == Failed(
        epoch=EPOCH, end=end(Outcome.BUNDLE_INVALID)
    )


def test_interruptions_without_a_checkpoint_end_as_no_progress() -> None:
    event = follow(running(interrupted=9), end(Outcome.INTERRUPTED), now=NOW, jitter=0.0)
    assert isinstance(event, Failed)
    assert event.end.outcome is Outcome.NO_PROGRESS
    assert event.end.reason == "because (10 attempts without a new checkpoint)"


def test_one_kind_of_end_does_not_spend_the_budget_of_another() -> None:
    event = follow(running(interrupted=9), end(Outcome.ENGINE_FAILED), now=NOW, jitter=0.0)
    assert isinstance(event, Interrupted)


def test_a_checkpoint_renews_every_budget() -> None:
    job = apply(running(interrupted=9), event_of(Checkpointed), at=NOW)
    assert isinstance(follow(job, end(Outcome.INTERRUPTED), now=NOW, jitter=0.0), Interrupted)


def test_the_backoff_doubles_has_an_end_and_is_stretched_by_up_to_a_half() -> None:
    budgets = {Outcome.ENGINE_FAILED: Budget(attempts=100, backoff=4.0, longest=10.0)}

    def wait(spent: int, jitter: float) -> float:
        event = follow(
            running(engine_failed=spent),
            end(Outcome.ENGINE_FAILED),
            now=NOW,
            jitter=jitter,
            budgets=budgets,
        )
        assert isinstance(event, Interrupted)
        return event.not_before - NOW

    assert [wait(spent, 0.0) for spent in range(4)] == [4.0, 8.0, 10.0, 10.0]
    assert wait(0, 1.0) == 6.0


def test_an_interruption_waits_for_nothing() -> None:
    event = follow(running(), end(Outcome.INTERRUPTED), now=UnixTime(50.0), jitter=1.0)
    assert isinstance(event, Interrupted)
    assert event.not_before == 50.0


def test_a_handoff_that_brought_the_job_forward_is_one_however_often() -> None:
    advanced = msgspec.structs.replace(running(interrupted=9), checkpoints=(checkpoint(3),))
    assert follow_handoff(advanced, "wall time") == HandedOff(epoch=EPOCH, reason="wall time")


def test_handoffs_that_never_bring_the_job_forward_end_as_no_progress() -> None:
    job, ends = running(), 0
    while isinstance(event := follow_handoff(job, "wall time"), HandedOff):
        ends += 1
        job = msgspec.structs.replace(
            apply(job, event, at=NOW), state=JobState.RUNNING, lease=job.lease
        )
    assert ends == BUDGETS[Outcome.INTERRUPTED].attempts - 1
    assert event.end.outcome is Outcome.NO_PROGRESS
    assert event.epoch == Epoch(EPOCH)
