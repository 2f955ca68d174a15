"""What is made of a run of chaos: of faults and events that are given here."""

from typing import Any, cast

from relaymd.bus.facts import JobChanged
from relaymd.core.events import Interrupted, JobEvent, Launched
from relaymd.core.ids import Epoch, JobId, UnixTime
from relaymd.core.job import JobState
from relaymd.core.outcome import AttemptEnd, Outcome
from tests.system.chaos.facts import Facts
from tests.system.chaos.faults import Struck
from tests.system.chaos.figures import noticed, recoveries

JOB = JobId("j-1")
KILL = "SIGKILL worker"


def facts(*told: tuple[str, float]) -> Facts:
    """Events of the job: kind and time."""
    there = Facts(cast(Any, None))
    end = AttemptEnd(outcome=Outcome.INTERRUPTED, reason="killed")
    events: dict[str, JobEvent] = {
        "interrupted": Interrupted(epoch=Epoch(1), end=end),
        "launched": Launched(epoch=Epoch(1)),
    }
    for seq, (kind, at) in enumerate(told, start=1):
        change = JobChanged(
            seq=seq,
            at=UnixTime(at),
            job=JOB,
            kind=kind,
            state=JobState.RUNNING,
            event=events[kind],
        )
        there.all.append(change)
        there.came[seq] = at
    return there


def test_a_killed_worker_has_recovered_when_its_job_runs_again() -> None:
    there = facts(("interrupted", 11.5), ("launched", 14.0))
    struck = [Struck(KILL, 10.0, (JOB,))]
    assert recoveries(struck, there) == {KILL: [4.0]}
    assert noticed(struck, there) == [1.5]


def test_of_kills_that_hit_a_job_before_it_ran_again_only_the_last_counts() -> None:
    there = facts(("interrupted", 11.0), ("interrupted", 31.0), ("launched", 34.0))
    struck = [Struck(KILL, 10.0, (JOB,)), Struck(KILL, 30.0, (JOB,))]
    assert recoveries(struck, there) == {KILL: [4.0]}
    assert noticed(struck, there) == [1.0, 1.0]


def test_kills_of_other_jobs_meanwhile_change_nothing() -> None:
    there = facts(("launched", 14.0))
    struck = [Struck(KILL, 10.0, (JOB,)), Struck(KILL, 12.0, (JobId("j-2"),))]
    assert recoveries(struck, there) == {KILL: [4.0]}
