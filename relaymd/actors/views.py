"""What people are shown of jobs and workers: the ledger's facts and what only memory knows."""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from relaymd.actors.asks import Asks
from relaymd.actors.ledger import Ledger
from relaymd.actors.openings import divided, shy
from relaymd.actors.presence import Presence
from relaymd.actors.sightings import Sightings
from relaymd.bus.facts import JobChanged
from relaymd.bus.operating import JobDetails, JobView, WorkerView
from relaymd.core.avoiding import why_it_waits
from relaymd.core.checkpoint import Progress
from relaymd.core.ids import WorkerId
from relaymd.core.job import Job, JobState
from relaymd.core.outlook import sentence
from relaymd.core.reaping import LivenessPolicy, judge
from relaymd.core.resources import Requirements
from relaymd.core.scheduling import explain
from relaymd.core.segments import segments
from relaymd.core.worker import Worker

_decode = msgspec.json.Decoder(JobChanged).decode


class Views:
    def __init__(
        self,
        ledger: Ledger,
        presence: Presence,
        asks: Asks,
        sightings: Sightings,
        policy: LivenessPolicy,
    ) -> None:
        self._ledger = ledger
        self._presence = presence
        self._asks = asks
        self._sightings = sightings
        self._policy = policy

    def of(self, job: Job) -> JobView:
        return self._view(job, self._reasons())

    def taken(self, job: Job) -> JobView:
        """For the answer to a submit: why it waits is told to whoever asks later."""
        return JobView(job=job, progress=self._progress(job))

    def of_many(self, jobs: Iterable[Job]) -> tuple[JobView, ...]:
        why = self._reasons()
        return tuple(self._view(job, why) for job in jobs)

    def details(self, job: Job, latest: Sequence[bytes], milestones: Sequence[bytes]) -> JobDetails:
        """latest, milestones: events as the ledger keeps them."""
        path = [_decode(body) for body in milestones]
        return JobDetails(
            view=self.of(job),
            segments=tuple(segments((fact.at, fact.event) for fact in path)),
            history=tuple(_decode(body) for body in latest),
        )

    def workers(self) -> tuple[WorkerView, ...]:
        return tuple(self._worker(worker) for worker in self._ledger.workers.values())

    def asking(self, worker: WorkerId) -> tuple[int, ...]:
        """Its slots that are known to wait for work."""
        return self._asks.slots(worker)

    def _view(self, job: Job, why: Callable[[Job], str]) -> JobView:
        rate, left = self._presence.rate(job.id, job.epoch) if job.lease else (None, None)
        return JobView(
            job=job,
            progress=self._progress(job),
            why_waiting=self._waiting(job, why),
            rate=rate,
            seconds_left=left,
        )

    def _progress(self, job: Job) -> Progress | None:
        noted = self._presence.progress(job.id, job.epoch) if job.lease else None
        if noted is None and job.checkpoints:
            return job.checkpoints[-1].progress
        return noted

    def _waiting(self, job: Job, why: Callable[[Job], str]) -> str | None:
        if job.state is not JobState.QUEUED:
            return None
        left = job.not_before - self._ledger.wall()
        if left > 0:
            cause = f" after: {job.end.reason}" if job.end else ""
            return f"it is tried again in {left:.0f} s{cause}"
        return why(job)

    def _foreseen(self, job: Job, why: str) -> str:
        """Why no worker takes it, and what is done about that."""
        outlook = self._sightings.outlooks.get(job.requirements)
        line = self._ledger.backlog.lines().get(job.requirements)
        if outlook is None or line is None or job not in line:
            return why
        position = line.index(job)
        if position + outlook.ahead < outlook.idle or outlook.is_empty:
            return why
        return f"{why}; {sentence(outlook, position=position, now=self._ledger.wall())}"

    def _reasons(self) -> Callable[[Job], str]:
        """Explains each class once, for a page may show a thousand jobs of the same."""
        known: dict[Requirements, str] = {}
        seats, shut = divided(self._ledger)
        idle = self._asks.idle()
        avoid = shy(self._ledger)

        def why(job: Job) -> str:
            need = job.requirements
            avoided = avoid.get(job.id)
            if avoided and (leaves := why_it_waits(need, avoided, seats, idle)) is not None:
                return leaves
            if need not in known:
                known[need] = explain(need, seats, idle, shut)
            return self._foreseen(job, known[need])

        return why

    def _worker(self, worker: Worker) -> WorkerView:
        now = self._presence.clock()
        verdict, _ = judge(self._presence.vital(worker.id), now=now, policy=self._policy)
        return WorkerView(
            worker=worker,
            jobs=tuple(self._ledger.held_by(worker.id)),
            verdict=str(verdict),
            silent_for=round(now - self._presence.heard(worker.id), 3),
            load=self._presence.load(worker.id),
            quarantine=self._ledger.quarantine(worker),
        )
