"""An orchestrator of a few lines, for tests of those who talk to one: jobs in a dictionary.

It speaks the real contract over whatever bus it is given, and decides with the real core.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec

from relaymd.bus import contract, facts
from relaymd.bus import messages as m
from relaymd.bus.bus import Bus, Inbox, Journal, RefusedError
from relaymd.bus.operating import (
    AskStatus,
    CancelJob,
    ClusterList,
    ClusterView,
    DrainWorker,
    JobDetails,
    JobPage,
    JobView,
    ListJobs,
    ListWorkers,
    PlanView,
    ReleaseWorker,
    RequeueJob,
    ShowJob,
    Status,
    Submit,
    SwitchCluster,
    WorkerList,
    WorkerView,
)
from relaymd.bus.subjects import Binding
from relaymd.core import events as e
from relaymd.core import job as j
from relaymd.core.ids import JobId, UnixTime, WorkerId
from relaymd.core.quarantine import Quarantine
from relaymd.core.segments import segments
from relaymd.core.worker import Worker

BEGIN = 1_700_000_000.0


@dataclass
class Record:
    seq: int
    subject: str
    body: bytes


class Desk:
    def __init__(self, bus: Bus, journal: Journal) -> None:
        self._bus = bus
        self._journal = journal
        self.jobs: dict[JobId, j.Job] = {}
        self.history: dict[JobId, list[facts.JobChanged]] = {}
        self.workers: list[Worker] = []
        self.quarantined: dict[WorkerId, Quarantine] = {}
        self.drained: list[str] = []
        self.clusters: list[ClusterView] = []
        self.planned = PlanView()
        self.submits: list[Submit] = []
        self.silent_submits = 0
        """So many submits are carried out without an answer in time."""

        self.seq = 0
        self._unwritten: asyncio.Queue[Record] = asyncio.Queue()

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[None]:
        async with (
            self._bus.serve("desk", *self._bindings()) as inbox,
            asyncio.TaskGroup() as tasks,
        ):
            running = [
                tasks.create_task(self._answer(inbox)),
                tasks.create_task(self._write()),
            ]
            try:
                yield
            finally:
                for task in running:
                    task.cancel()

    async def _answer(self, inbox: Inbox) -> None:
        async with asyncio.TaskGroup() as tasks:  # cancelled with this one
            while True:
                tasks.create_task((await inbox.get()).handle())

    async def _write(self) -> None:
        while True:
            await self._journal.append([await self._unwritten.get()])

    def record(self, job: JobId, event: e.JobEvent) -> j.Job:
        """Apply and publish an event, as the ledger does."""
        self.seq += 1
        at = UnixTime(BEGIN + self.seq)
        changed = j.apply(self.jobs[job], event, at=at)
        self.jobs[job] = changed
        self._publish(changed, event, at)
        return changed

    def add(self, wanted: Submit) -> j.Job:
        self.seq += 1
        at = UnixTime(BEGIN + self.seq)
        job = j.Job(
            id=wanted.job,
            title=wanted.title,
            command=wanted.command,
            bundle=wanted.bundle,
            requirements=wanted.requirements,
            priority=wanted.priority,
            submitted_at=at,
            queued_at=at,
        )
        self.jobs[job.id] = job
        self._publish(job, e.Submitted(title=job.title, by=wanted.by), at)
        return job

    def _publish(self, job: j.Job, event: e.JobEvent, at: UnixTime) -> None:
        kind = str(type(event).__struct_config__.tag)
        change = facts.JobChanged(
            seq=self.seq, at=at, job=job.id, kind=kind, state=job.state, event=event
        )
        self.history.setdefault(job.id, []).append(change)
        subject = contract.JOB_CHANGED.of(change)
        self._unwritten.put_nowait(Record(self.seq, subject, msgspec.json.encode(change)))

    # -- what is asked --------------------------------------------------------------------------

    def _bindings(self) -> Iterable[Binding]:
        yield contract.SUBMIT.answered_by(self._submit)
        yield contract.CLUSTERS.answered_by(
            lambda message: ClusterList(clusters=tuple(self.clusters))
        )
        yield contract.SWITCH.answered_by(self._switch)
        yield contract.PLAN.answered_by(lambda message: self.planned)
        yield contract.SHOW.answered_by(self._show)
        yield contract.CANCEL.answered_by(self._cancel)
        yield contract.REQUEUE.answered_by(self._requeue)
        yield contract.JOBS.answered_by(self._list)
        yield contract.WORKERS.answered_by(self._workers)
        yield contract.RELEASE_WORKER.answered_by(self._release)
        yield contract.DRAIN_WORKER.answered_by(self._drain)
        yield contract.STATUS.answered_by(self._status)

    def _switch(self, wanted: SwitchCluster) -> m.Done:
        self.clusters = [
            msgspec.structs.replace(view, disabled="" if wanted.enabled else f"by {wanted.by}")
            if view.cluster == wanted.cluster
            else view
            for view in self.clusters
        ]
        return m.Done()

    def _submit(self, wanted: Submit) -> JobView | asyncio.Future[JobView]:
        self.submits.append(wanted)
        if wanted.title == "refuse me":
            raise RefusedError.because(m.RefusalCode.INVALID, "the title is not wanted here")
        job = self.jobs.get(wanted.job) or self.add(wanted)
        if self.silent_submits:
            self.silent_submits -= 1
            return asyncio.get_running_loop().create_future()
        return JobView(job=job)

    def _find(self, id: str) -> j.Job:
        found = [job for job in self.jobs.values() if job.id.startswith(id)]
        if len(found) != 1:
            code = m.RefusalCode.INVALID if found else m.RefusalCode.UNKNOWN_JOB
            raise RefusedError.because(code, f"{len(found)} jobs have an id that begins {id}")
        return found[0]

    def _show(self, wanted: ShowJob) -> JobDetails:
        job = self._find(wanted.job)
        history = self.history[job.id]
        return JobDetails(
            view=JobView(job=job),
            segments=tuple(segments((change.at, change.event) for change in history)),
            history=tuple(history),
        )

    def _cancel(self, wanted: CancelJob) -> JobView:
        return self._change(wanted.job, e.CancelRequested(by=wanted.by))

    def _requeue(self, wanted: RequeueJob) -> JobView:
        return self._change(wanted.job, e.Requeued(by=wanted.by))

    def _change(self, id: JobId, event: e.JobEvent) -> JobView:
        job = self._find(id)
        try:
            return JobView(job=self.record(job.id, event))
        except j.IllegalTransitionError as exc:
            raise RefusedError(
                m.Refusal(
                    error=m.RefusalCode.CONFLICT,
                    message=str(exc),
                    job_id=job.id,
                    current_status=job.state,
                    requested_status=exc.requested,
                )
            ) from None

    def _list(self, wanted: ListJobs) -> JobPage:
        jobs = [
            job
            for job in reversed(self.jobs.values())
            if not wanted.states or job.state in wanted.states
        ]
        start = int(wanted.after or 0)
        page = jobs[start : start + wanted.limit]
        more = str(start + wanted.limit) if len(jobs) > start + wanted.limit else None
        return JobPage(jobs=tuple(JobView(job=job) for job in page), next=more)

    def _workers(self, _: ListWorkers) -> WorkerList:
        return WorkerList(
            workers=tuple(
                WorkerView(worker=one, quarantine=self.quarantined.get(one.id))
                for one in self.workers
            )
        )

    def _release(self, wanted: ReleaseWorker) -> m.Done:
        del self.quarantined[wanted.worker]
        return m.Done()

    def _drain(self, wanted: DrainWorker) -> m.Done:
        self.drained.append(wanted.worker)
        return m.Done()

    def _status(self, _: AskStatus) -> Status:
        return Status(
            version="test",
            started_at=UnixTime(BEGIN),
            jobs=dict.fromkeys(j.JobState, 0) | _counted(self.jobs.values()),
            workers=len(self.workers),
            last_event=self.seq,
        )


def _counted(jobs: Iterable[j.Job]) -> dict[j.JobState, int]:
    found: dict[j.JobState, int] = {}
    for job in jobs:
        found[job.state] = found.get(job.state, 0) + 1
    return found


def submission(id: str, title: str = "villin") -> Submit:
    bundle = j.Bundle(key=f"jobs/{id}/input/bundle.tar.gz", digest="0" * 64, size=1)
    return Submit(job=JobId(id), title=title, bundle=bundle, command="python run.py")
