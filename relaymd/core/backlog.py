"""The waiting jobs in the order in which they will run, class by class.

An index over the ledger's jobs, kept so that a pass of the scheduler looks at the head of each
class of requirements and not at every waiting job. It decides nothing.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import TypeAlias

from sortedcontainers import SortedKeyList

from relaymd.core.ids import JobId, UnixTime
from relaymd.core.job import Job, JobState
from relaymd.core.resources import Requirements
from relaymd.core.scheduling import urgency

LONGEST_REST = 3600.0
"""Seconds; no backoff is longer."""

SET_BACK = 1.0
"""Seconds by which a clock must go back to have been set: what a daemon trims is less."""

Line: TypeAlias = "SortedKeyList[Job, tuple[int, UnixTime, JobId]]"
"""The waiting jobs of one class, the most urgent first."""


class Backlog:
    """Jobs that are queued; those that back off are kept apart until their time has come."""

    def __init__(self) -> None:
        self._ready: dict[Requirements, Line] = {}
        self._resting: SortedKeyList[Job, tuple[UnixTime, JobId]] = SortedKeyList(key=_wake_up)
        self._jobs: dict[JobId, Job] = {}
        self._woken: UnixTime | None = None
        """When it was looked last for jobs whose time has come."""

    def __len__(self) -> int:
        return len(self._jobs)

    def put(self, job: Job) -> None:
        """Take note of the job as it is now, whether it waits or not."""
        self.drop(job.id)
        if job.state is not JobState.QUEUED:
            return
        self._jobs[job.id] = job
        if job.not_before:
            self._resting.add(job)
        else:
            self._line(job).add(job)

    def drop(self, id: JobId) -> None:
        job = self._jobs.pop(id, None)
        if job is None:
            return
        if job in self._resting:
            self._resting.remove(job)
            return
        line = self._line(job)
        line.remove(job)
        if not line:
            del self._ready[job.requirements]

    def wake(self, now: UnixTime) -> None:
        """Let the jobs whose backoff is over join their lines.

        So do those that joined the queue in what is the future now, for the clock was set back,
        and those that would rest longer than anything ever does.
        """
        if self._woken is None or now < self._woken - SET_BACK:
            for job in [job for job in self._resting if job.queued_at > now + SET_BACK]:
                self._rouse(self._resting.index(job))
        self._woken = now
        while self._resting and self._resting[0].not_before <= now:
            self._rouse(0)
        while self._resting and self._resting[-1].not_before > now + LONGEST_REST:
            self._rouse(-1)

    def next_wake(self) -> UnixTime | None:
        return self._resting[0].not_before if self._resting else None

    def ids(self) -> Collection[JobId]:
        """Of all that wait, those that back off as well."""
        return self._jobs.keys()

    def lines(self) -> Mapping[Requirements, Line]:
        """The jobs that may run now: one line a class, each in the order of urgency."""
        return self._ready

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    def _rouse(self, position: int) -> None:
        job = self._resting.pop(position)
        self._line(job).add(job)

    def _line(self, job: Job) -> Line:
        line = self._ready.get(job.requirements)
        if line is None:
            line = self._ready[job.requirements] = SortedKeyList(key=urgency)
        return line


def _wake_up(job: Job) -> tuple[UnixTime, JobId]:
    return (job.not_before, job.id)
